// Holds the kernels of each instruction set against those for any CPU, or against the same in double precision.
//
//     kernel_check avx2 avx512       these levels must run here, and are checked; without a name, all that this CPU runs
#include "check.h"

#include <algorithm>
#include <string>

static const check::level levels[] = {
    {"scalar", omni::cpu_variant::scalar, omni::panel_scalar, omni::matvec_scalar, omni::exp_scalar, omni::conv_scalar, omni::attend_scalar},
    {"neon", omni::cpu_variant::neon, omni::panel_neon, omni::matvec_neon, omni::exp_neon, omni::conv_neon, omni::attend_neon},
    {"neon_dotprod", omni::cpu_variant::neon_dotprod, omni::panel_neon_dotprod, omni::matvec_neon, omni::exp_neon, omni::conv_neon, omni::attend_neon},
    {"neon_i8mm", omni::cpu_variant::neon_i8mm, omni::panel_neon_i8mm, omni::matvec_neon, omni::exp_neon, omni::conv_neon, omni::attend_neon},
    {"avx2", omni::cpu_variant::avx2, omni::panel_avx2, omni::matvec_avx2, omni::exp_avx2, omni::conv_avx2, omni::attend_avx2},
    {"avx512", omni::cpu_variant::avx512, omni::panel_avx512, omni::matvec_avx512, omni::exp_avx2, omni::conv_avx512, omni::attend_avx512},
};

int main(int argc, char ** argv) {
    check::teams();
    const std::vector<std::string> asked(argv + 1, argv + argc);
    size_t n_asked = 0;
    const check::level * best = nullptr;
    for (const check::level & l : levels) {
        best = omni::cpu_at_least(l.variant) ? &l : best;
    }
    for (const check::level & l : levels) {
        const bool named = std::find(asked.begin(), asked.end(), l.name) != asked.end(), runs = omni::cpu_runs(l.variant);
        n_asked += named;
        if (named && !runs) {
            std::printf("%s does not run on this CPU\n", l.name);
            return 2;
        }
        if (named || (asked.empty() && runs)) {
            const int64_t before = check::n_held, failed = check::n_failed;
            check::holds(!asked.empty() || omni::cpu_at_least(l.variant), "%s runs here, and something less was chosen", l.name);
            check::panels(l);
            check::floats(l);
            check::convolutions(l);
            check::attention(l);
            if (asked.empty() && &l == best) {
                check::attention_chosen(l);
            }
            std::printf("%-12s %lld of %lld hold\n", l.name, (long long) (check::n_held - before - (check::n_failed - failed)),
                        (long long) (check::n_held - before));
            std::fflush(stdout);
        }
    }
    if (n_asked != asked.size()) {
        std::printf("expected names of levels: scalar, neon, neon_dotprod, neon_i8mm, avx2, avx512\n");
        return 2;
    }
    return check::n_failed ? 1 : 0;
}
