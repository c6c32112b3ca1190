#include "kernels/cpu.h"

#include "core/backends.h"
#include "core/error.h"
#include "kernels/x86.h"

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
#if defined(__aarch64__)
    return arm_runs(v);
#else
    return x86_runs(v);
#endif
}

// Whether ggml's library for the CPU, where it was asked for by name, is one for CPUs that run the variant too.
static bool library_has(cpu_variant v) {
    switch (v) {
        case cpu_variant::neon_dotprod: return cpu_feature("DOTPROD");
        case cpu_variant::neon_i8mm:    return library_has(cpu_variant::neon_dotprod) && cpu_feature("MATMUL_INT8");
        case cpu_variant::avx2:         return cpu_feature("AVX2") && cpu_feature("FMA") && cpu_feature("F16C");
        case cpu_variant::avx512:       return cpu_feature("AVX512") && cpu_feature("AVX512_VNNI");
        case cpu_variant::avx512_bf16:  return library_has(cpu_variant::avx512) && cpu_feature("AVX512_BF16");
        case cpu_variant::neon:         // every aarch64 has it
        case cpu_variant::scalar:       break;
    }
    return true;
}

static cpu_variant choose() {
    backends_load();
    const char * asked = std::getenv("PYOMNI_CPU_VARIANT");
    const bool by_name = asked && *asked && !cpu_library_forced();
    for (cpu_variant v : all_variants) {
        if (by_name ? std::strcmp(asked, cpu_variant_name(v)) == 0
                    : cpu_runs(v) && (!cpu_library_forced() || library_has(v))) {
            if (!cpu_runs(v)) {
                fail(OMNI_ERROR_UNSUPPORTED, "PYOMNI_CPU_VARIANT is '%s', which this CPU does not run", asked);
            }
            return v;
        }
    }
    fail(OMNI_ERROR_ARGUMENT, "PYOMNI_CPU_VARIANT is '%s', expected scalar, neon, neon_dotprod, neon_i8mm, avx2, avx512 or avx512_bf16%s", asked,
         cpu_library().empty() ? "" : ", or a library of pyomni/lib, such as haswell");
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
