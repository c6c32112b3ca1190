#include "core/fault.h"

#include "core/error.h"

#include "ggml.h"

#include <atomic>
#include <cstring>
#include <mutex>

namespace omni {

static std::atomic<bool> lost{false};

// Of the CPU's backend nothing is thrown: its other threads would wait for this one for ever. ggml ends the process.
static void aborted(const char * message) {
    const bool gpu = std::strstr(message, "ggml-cuda") || std::strstr(message, "ggml-vulkan");
    if (gpu && inside_guarded()) {
        lost = true;
        fail(OMNI_ERROR_DEVICE, "the device failed: %s", message);
    }
    fprintf(stderr, "%s\n", message);
}

void fault_install() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_set_abort_callback(aborted); });
}

bool device_lost() { return lost; }

} // namespace omni
