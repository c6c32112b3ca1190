#include "core/headroom.h"

#include "core/error.h"

#include "ggml.h"

#include <cstdlib>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace omni {

static const size_t small = 1 << 20;  // for what has a size that hardly depends on the graph's

void need_memory(size_t n) {
    void * volatile memory = malloc(n + small);  // volatile: a pair that does nothing may be left out
    if (!memory) {
        throw std::bad_alloc();
    }
    free(memory);
}

void need_threads(int n) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    std::vector<std::thread> threads;
    bool started = true;
    try {
        for (int i = 0; i < n; i++) {
            threads.emplace_back([&] {
                std::unique_lock<std::mutex> lock(mutex);
                changed.wait(lock, [&] { return done; });
            });
        }
    } catch (const std::exception &) {  // std::system_error, std::bad_alloc
        started = false;
    }
    {
        std::lock_guard<std::mutex> lock(mutex);
        done = true;
    }
    changed.notify_all();
    for (std::thread & t : threads) {
        t.join();
    }
    if (!started) {
        fail(OMNI_ERROR_MEMORY, "%d threads could not be started", n);
    }
}

// A scheduler has room for a split at each node, and for the tensors that 30 inputs of each would be copied to.
size_t graph_bytes(size_t max_nodes) {
    const size_t n_copies = 2 * 30;
    return max_nodes * (n_copies * (sizeof(ggml_tensor) + 4 * sizeof(int)) + 4 * ggml_tensor_overhead() + 256);
}

} // namespace omni
