#include "core/cores.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace omni {

#if defined(__linux__)
// Processors that run on one core name the same list.
static int cores_of(const cpu_set_t & set) {
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
            std::string list;
            cores.insert(std::getline(file, list) ? list : std::to_string(cpu));
        }
    }
    return int(cores.size());
}

// What a container may use at a time, in whole cores; as many as there are without a limit.
static int allowed(int n) {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    double quota = 0.0, period = 0.0;
    const bool limited = bool(file >> quota >> period) && period > 0.0;  // else the first word is "max"
    return limited ? std::clamp(int(quota / period + 0.5), 1, n) : n;
}
#endif

int usable_cores() {
    int n = int(std::max(1u, std::thread::hardware_concurrency()));
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        n = allowed(std::max(1, cores_of(set)));
    }
#elif defined(__APPLE__)
    int fast = 0;  // the others are several times slower, and all would wait for them
    size_t size = sizeof(fast);
    if (sysctlbyname("hw.perflevel0.physicalcpu", &fast, &size, nullptr, 0) == 0 || sysctlbyname("hw.physicalcpu", &fast, &size, nullptr, 0) == 0) {
        n = std::max(1, fast);
    }
#endif
    return n;
}

} // namespace omni
