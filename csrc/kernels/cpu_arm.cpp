// Which of the kernels for aarch64 the machine runs: its system says.
#include "kernels/cpu.h"

#if defined(__aarch64__)
#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace omni {

namespace {

#if defined(__APPLE__)
bool has(const char * name) {
    int value = 0;
    size_t size = sizeof(value);
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_dotprod() { return has("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() { return has("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__linux__)
// The kernel's bits, which older headers do not all name: HWCAP_ASIMDDP and HWCAP2_I8MM.
bool has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }
bool has_i8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }
#else
bool has_dotprod() { return false; }
bool has_i8mm() { return false; }
#endif

} // namespace

bool arm_runs(cpu_variant v) {
    switch (v) {
        case cpu_variant::neon:         return true;  // part of the architecture
        case cpu_variant::neon_dotprod: return has_dotprod();
        case cpu_variant::neon_i8mm:    return has_dotprod() && has_i8mm();
        default:                        return false;
    }
}

} // namespace omni
#else
bool omni::arm_runs(cpu_variant) { return false; }
#endif
