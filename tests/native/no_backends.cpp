// In place of core/backends: the kernels alone are checked, and of ggml's backends there is none.
#include "core/backends.h"

#include <cstdlib>

namespace omni {

void backends_load() {}

const std::string & cpu_library() {
    static const std::string none;
    return none;
}

bool cpu_library_forced() { return false; }

bool cpu_feature(const char *) { return false; }

const ggml_type_traits_cpu & cpu_traits(ggml_type) { std::abort(); }

} // namespace omni
