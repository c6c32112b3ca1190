// A look through a GGUF header before ggml's reader gets it, for what ends the process there.
#pragma once

#include <string>

namespace omni {

// Fails on an axis of 0 elements, by which that reader divides, and on an alignment that is no u32, which it asserts.
// All else it refuses by itself, so what cannot be followed here is left to it.
void check_gguf_header(const std::string & path);

} // namespace omni
