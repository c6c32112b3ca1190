#include "kernels/x86.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace omni {

#if defined(__x86_64__)

bool x86_runs(cpu_variant v) {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");
    switch (v) {
        case cpu_variant::avx2:        return avx2;
        case cpu_variant::avx512:      return avx512;
        case cpu_variant::avx512_bf16: return avx512 && __builtin_cpu_supports("avx512bf16");
        default:                       return false;
    }
}

bool x86_is_intel() {
    __builtin_cpu_init();
    return __builtin_cpu_is("intel");
}

#else

bool x86_runs(cpu_variant) { return false; }
bool x86_is_intel() { return false; }

#endif

// Tiles have state that the system keeps for a process only where it asks.
bool x86_tiles() {
#if defined(__linux__) && defined(__x86_64__) && defined(SYS_arch_prctl)
    const int request_permission = 0x1023, tile_data = 18;
    return __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

} // namespace omni
