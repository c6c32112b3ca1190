// Asking for memory and threads before ggml does, which ends the process where it gets none.
#pragma once

#include <cstddef>

namespace omni {

// Throws std::bad_alloc unless so many bytes can be had now.
void need_memory(size_t n);

// Fails unless so many threads can run at once.
void need_threads(int n);

// Of the contexts and tables that a graph of so many nodes takes at most, with its scheduler.
size_t graph_bytes(size_t max_nodes);

} // namespace omni
