#include "kernels/cpu.h"

#include "core/error.h"

#include <cstdlib>
#include <cstring>

namespace omni {

static constexpr cpu_variant all_variants[] = {cpu_variant::avx512_bf16, cpu_variant::avx512, cpu_variant::avx2,
                                               cpu_variant::neon_i8mm, cpu_variant::neon_dotprod, cpu_variant::neon,
                                               cpu_variant::scalar};

const char * cpu_variant_name(cpu_variant v) {
    switch (v) {
        case cpu_variant::neon:         return "neon";
        case cpu_variant::neon_dotprod: return "neon_dotprod";
        case cpu_variant::neon_i8mm:    return "neon_i8mm";
        case cpu_variant::avx2:         return "avx2";
        case cpu_variant::avx512:       return "avx512";
        case cpu_variant::avx512_bf16:  return "avx512_bf16";
        case cpu_variant::scalar:       break;
    }
    return "scalar";
}

bool cpu_runs(cpu_variant v) {
    if (v == cpu_variant::scalar) {
        return true;
    }
#if defined(__x86_64__) && defined(__GNUC__)
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
#elif defined(__aarch64__)
    return arm_runs(v);
#else
    return false;
#endif
}

static cpu_variant choose() {
    const char * asked = std::getenv("PYOMNI_CPU_VARIANT");
    for (cpu_variant v : all_variants) {
        if (asked && *asked ? std::strcmp(asked, cpu_variant_name(v)) == 0 : cpu_runs(v)) {
            if (!cpu_runs(v)) {
                fail(OMNI_ERROR_UNSUPPORTED, "PYOMNI_CPU_VARIANT is '%s', which this CPU does not run", asked);
            }
            return v;
        }
    }
    fail(OMNI_ERROR_ARGUMENT, "PYOMNI_CPU_VARIANT is '%s', expected scalar, neon, neon_dotprod, neon_i8mm, avx2, avx512 or avx512_bf16", asked);
}

cpu_variant cpu_kernels() {
    static const cpu_variant chosen = choose();
    return chosen;
}

bool cpu_at_least(cpu_variant least) {
    const cpu_variant v = cpu_kernels();
    const auto is_x86 = [](cpu_variant of) { return of >= cpu_variant::avx2; };
    return v >= least && (least == cpu_variant::scalar || is_x86(v) == is_x86(least));
}

} // namespace omni
