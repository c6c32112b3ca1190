// Panels on NEON with dot products of bytes.
#include "kernels/panel.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/panel_neon.h"

namespace {

struct products {
    static constexpr long max_rows = 5;  // of two registers: 5 sums, 5 results, weights; x: 27 of 32

    static int32x4_t add(int32x4_t sum, int32x4_t a, int32x4_t b) {
        return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
    }
    template <int LANE> static int32x4_t add_lane(int32x4_t sum, int32x4_t a, int32x4_t b) {
        return vdotq_laneq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b), LANE);
    }
};

} // namespace

omni::matvec omni::panel_neon_dotprod(int32_t type) { return panel_or_none<v128_pair<products>>(type); }
#else
omni::matvec omni::panel_neon_dotprod(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
#endif
