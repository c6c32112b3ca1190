// Attention on NEON.
#include "kernels/attend.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>

#include "kernels/attend_tiles.h"

namespace {

struct v128 {
    using vf = float32x4_t;
    struct vi {
        int32x4_t low, high;
    };
    struct vv {  // the same eight channels of two positions
        int16x8_t a, b;
    };
    static constexpr long width = 4, dots = 4, channels = 16, blocks = 2;  // 16 sums in either product, of 32 registers

    static vf zero() { return vdupq_n_f32(0.0f); }
    static vi zero_int() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
    static vf load(const float * p) { return vld1q_f32(p); }
    static vf load(of_f32, const char * p) { return vld1q_f32(reinterpret_cast<const float *>(p)); }
    static vf load(of_f16, const char * p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t *>(p)))); }
    static vf fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
    static void fetch(const char * p) { __builtin_prefetch(p, 0, 2); }  // into the second cache, as on x86

    static void sums(const vf (&s)[4][4], float * out) {
        vf q[4];
#pragma GCC unroll 4
        for (long k = 0; k < 4; k++) {
            q[k] = vaddq_f32(vaddq_f32(s[k][0], s[k][2]), vaddq_f32(s[k][1], s[k][3]));
        }
        const vf a = vaddq_f32(vzip1q_f32(q[0], q[1]), vzip2q_f32(q[0], q[1]));
        const vf b = vaddq_f32(vzip1q_f32(q[2], q[3]), vzip2q_f32(q[2], q[3]));
        vst1q_f32(out, vaddq_f32(vcombine_f32(vget_low_f32(a), vget_low_f32(b)), vcombine_f32(vget_high_f32(a), vget_high_f32(b))));
    }

    static void pairs(const char * a, const char * b, vv * out) {
        const int8x16_t x = vld1q_s8(reinterpret_cast<const int8_t *>(a)), y = vld1q_s8(reinterpret_cast<const int8_t *>(b));
        out[0] = {vmovl_s8(vget_low_s8(x)), vmovl_s8(vget_low_s8(y))};
        out[1] = {vmovl_high_s8(x), vmovl_high_s8(y)};
    }
    static int16x4_t spread_pair(const int16_t * q) {
        int32_t v;
        memcpy(&v, q, sizeof(v));
        return vreinterpret_s16_s32(vdup_n_s32(v));
    }
    static vi add_products(vi sum, vv v, int16x4_t by) {
        const vi first = {vmlal_lane_s16(sum.low, vget_low_s16(v.a), by, 0), vmlal_high_lane_s16(sum.high, v.a, by, 0)};
        return {vmlal_lane_s16(first.low, vget_low_s16(v.b), by, 1), vmlal_high_lane_s16(first.high, v.b, by, 1)};
    }
    static void add_scaled(float * y, const vi * sum, float one) {
#pragma GCC unroll 2
        for (long k = 0; k < 2; k++, y += 8) {
            vst1q_f32(y, vfmaq_n_f32(load(y), vcvtq_f32_s32(sum[k].low), one));
            vst1q_f32(y + 4, vfmaq_n_f32(load(y + 4), vcvtq_f32_s32(sum[k].high), one));
        }
    }
    static void widen(const uint16_t * h, float * out) {
        for (long p = 0; p < group; p += 4) {
            vst1q_f32(out + p, load(of_f16(), reinterpret_cast<const char *>(h + p)));
        }
    }
    static int16x4_t whole(vf v) {  // what is no number is the least: converting alone makes it zero
        const uint32x4_t inside = vcltq_f32(vabsq_f32(v), vdupq_n_f32(32768.0f));
        return vqmovn_s32(vbslq_s32(inside, vcvtnq_s32_f32(v), vdupq_n_s32(-32768)));
    }
    static float whole_numbers(const float * w, const float * scales, int16_t * q) {
        vf c[group / 4];
        uint32x4_t most = vdupq_n_u32(0);
#pragma GCC unroll 16
        for (long k = 0; k < group / 4; k++) {
            c[k] = vmulq_f32(load(w + 4 * k), load(scales + 4 * k));
            most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(c[k])));
        }
        float one;
        const float inverse = whole_inverse(vmaxvq_u32(most), &one);
#pragma GCC unroll 16
        for (long k = 0; k < group / 4; k++) {
            vst1_s16(q + 4 * k, whole(vmulq_n_f32(c[k], inverse)));
        }
        return one;
    }
};

} // namespace

namespace omni {
attend_kernel attend_neon(int32_t type) { return attend_of<v128>(type); }
} // namespace omni
#else
namespace omni {
attend_kernel attend_neon(int32_t type) { return {type, false, nullptr, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
