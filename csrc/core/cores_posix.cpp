#include "core/cores.h"

#include <algorithm>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

namespace omni {

int usable_cores() {
#if defined(__linux__)  // elsewhere a process cannot be kept to some of them
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
#endif
    return int(std::max(1u, std::thread::hardware_concurrency()));
}

} // namespace omni
