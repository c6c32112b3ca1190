// Panels on any NEON.
#include "kernels/panel.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include "kernels/panel_neon.h"

namespace {

struct products {
    static constexpr long max_rows = 4;  // of two registers: 4 sums, 4 results, weights; x, one of its lanes, two products: 25 of 32

    // Two products are at most 2 * 128 * 127, which 16 bits hold.
    static int32x4_t add(int32x4_t sum, int32x4_t a, int32x4_t b) {
        const int8x16_t p = vreinterpretq_s8_s32(a), q = vreinterpretq_s8_s32(b);
        const int16x8_t low = vmull_s8(vget_low_s8(p), vget_low_s8(q)), high = vmull_high_s8(p, q);
        return vpadalq_s16(sum, vpaddq_s16(low, high));
    }
    template <int LANE> static int32x4_t add_lane(int32x4_t sum, int32x4_t a, int32x4_t b) { return add(sum, a, vdupq_laneq_s32(b, LANE)); }
};

} // namespace

omni::matvec omni::panel_neon(int32_t type) { return panel_or_none<v128_pair<products>>(type); }
#else
omni::matvec omni::panel_neon(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
#endif
