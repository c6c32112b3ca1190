// Panels of 8 outputs on NEON, each vector in two registers. How bytes are multiplied is the matter of each instruction set.
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "kernels/panel_tiles.h"

namespace {

// Dot::add(sum, a, b): to each of four sums, the products of four signed bytes. Dot::add_lane<n>: b's lane n for all of them.
template <class Dot> struct v128_pair {
    struct vf {
        float32x4_t low, high;
    };
    struct vi {
        int32x4_t low, high;
    };
    static constexpr long lanes = 8, max_rows = Dot::max_rows, few = 2;
    static constexpr bool unsigned_only = false, own_products = true;

    template <bool> struct weights {  // of at most 7 bits where they are unsigned, so all are signed
        vi w;
        explicit weights(vi w) : w(w) {}
        vi dot(vi sum, vi x) const { return {Dot::add(sum.low, w.low, x.low), Dot::add(sum.high, w.high, x.high)}; }
    };

    template <int LANE, long R> [[gnu::always_inline]] static void column(const uint8_t * w, const int32x4_t (&x)[R], vi (&sum)[R]) {
        const vi wv = load(w);
#pragma GCC unroll 8
        for (long r = 0; r < R; r++) {
            sum[r] = {Dot::template add_lane<LANE>(sum[r].low, wv.low, x[r]), Dot::template add_lane<LANE>(sum[r].high, wv.high, x[r])};
        }
    }
    // Four columns a turn, of which x is loaded at once. Unrolled further, compilers load so far ahead that registers run out.
    template <long R, long G> [[gnu::always_inline]] static void multiply(const uint8_t * w, const char * x, size_t x_stride, vi (&sum)[R]) {
        constexpr long bytes = lanes * 4;
#pragma GCC unroll 1
        for (long g = 0; g < G; g += 4, w += 4 * bytes, x += 16) {
            int32x4_t four[R];
#pragma GCC unroll 8
            for (long r = 0; r < R; r++) {
                four[r] = ints(load_16(x + size_t(r) * x_stride));
            }
            column<0>(w, four, sum);
            column<1>(w + bytes, four, sum);
            column<2>(w + 2 * bytes, four, sum);
            column<3>(w + 3 * bytes, four, sum);
        }
    }

    static vi both(int32x4_t v) { return {v, v}; }
    static vi both(int32_t v) { return both(vdupq_n_s32(v)); }
    static vi spread_int(const char * p) { int32_t v; memcpy(&v, p, 4); return both(v); }
    static vf spread(const char * p) { float v; memcpy(&v, p, 4); return {vdupq_n_f32(v), vdupq_n_f32(v)}; }
    static vf zero() { return {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)}; }
    static vi zero_int() { return both(0); }
    static vi add(vi a, vi b) { return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)}; }
    static int32x4_t ints(int8x16_t v) { return vreinterpretq_s32_s8(v); }
    static int8x16_t load_16(const char * p) { return vld1q_s8(reinterpret_cast<const int8_t *>(p)); }
    static vi load(const uint8_t * p) { const char * at = reinterpret_cast<const char *>(p); return {ints(load_16(at)), ints(load_16(at + 16))}; }
    static vf load(const float * p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
    static void store(float * p, vf v) { vst1q_f32(p, v.low); vst1q_f32(p + 4, v.high); }
    static void store(uint8_t * p, vi v) { vst1q_u8(p, vreinterpretq_u8_s32(v.low)); vst1q_u8(p + 16, vreinterpretq_u8_s32(v.high)); }
    static vf load_part(const float * p, long n) {
        if (n == lanes) {
            return load(p);
        }
        float part[lanes] = {};
        memcpy(part, p, size_t(n) * sizeof(float));
        return load(part);
    }
    static void store_part(float * p, vf v, long n) {
        float part[lanes];
        store(n == lanes ? p : part, v);
        if (n != lanes) {
            memcpy(p, part, size_t(n) * sizeof(float));
        }
    }
    static vf mul(vf a, vf b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
    static vf fma(vf a, vf b, vf c) { return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }
    static vf to_float(vi v) { return {vcvtq_f32_s32(v.low), vcvtq_f32_s32(v.high)}; }
    static void fetch(const char * p) { __builtin_prefetch(p, 0, 2); }

    static void four_columns(const char * const * row, long at, int32x4_t * out) {
        const int32x4_t r0 = ints(load_16(row[0] + at)), r1 = ints(load_16(row[1] + at));
        const int32x4_t r2 = ints(load_16(row[2] + at)), r3 = ints(load_16(row[3] + at));
        const int64x2_t a = vreinterpretq_s64_s32(vtrn1q_s32(r0, r1)), b = vreinterpretq_s64_s32(vtrn2q_s32(r0, r1));
        const int64x2_t c = vreinterpretq_s64_s32(vtrn1q_s32(r2, r3)), d = vreinterpretq_s64_s32(vtrn2q_s32(r2, r3));
        out[0] = vreinterpretq_s32_s64(vtrn1q_s64(a, c));
        out[1] = vreinterpretq_s32_s64(vtrn1q_s64(b, d));
        out[2] = vreinterpretq_s32_s64(vtrn2q_s64(a, c));
        out[3] = vreinterpretq_s32_s64(vtrn2q_s64(b, d));
    }
    static void columns(const weight_rows & w, long at, vi * out) {
        int32x4_t low[4], high[4];
        four_columns(w.row, at, low);
        four_columns(w.row + 4, at, high);
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            out[j] = {low[j], high[j]};
        }
    }

    static float32x4_t widen(uint16x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }
    static vf halves(const weight_rows & w, long at) {
        uint16_t h[8];
#pragma GCC unroll 8
        for (long r = 0; r < 8; r++) {
            memcpy(&h[r], w.row[r] + at, 2);
        }
        return {widen(vld1_u16(h)), widen(vld1_u16(h + 4))};
    }
    static vf low_half(vi v) { return {widen(vmovn_u32(vreinterpretq_u32_s32(v.low))), widen(vmovn_u32(vreinterpretq_u32_s32(v.high)))}; }

    static vi as_stored(vi v) { return v; }
    static vi masked(vi v, int32x4_t mask) { return {vandq_s32(v.low, mask), vandq_s32(v.high, mask)}; }
    static vi low_bits(vi v, int bits) { return masked(v, ints(vdupq_n_s8(int8_t(bits)))); }
    static vi either(vi a, vi b) { return {vorrq_s32(a.low, b.low), vorrq_s32(a.high, b.high)}; }
    static int32x4_t right(int32x4_t v, int n) { return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-n))); }
    static vi right(vi v, int n) { return {right(v.low, n), right(v.high, n)}; }
    static vi left(vi v, int n) { return {vshlq_s32(v.low, vdupq_n_s32(n)), vshlq_s32(v.high, vdupq_n_s32(n))}; }
    static vi byte(vi v, int n) { return masked(right(v, 8 * n), vdupq_n_s32(255)); }
    static vi signed_byte(vi v, int n) {
        const vi top = left(v, 24 - 8 * n);
        return {vshrq_n_s32(top.low, 24), vshrq_n_s32(top.high, 24)};
    }
    static int32x4_t iq4_nl(int32x4_t v) {
        static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
        return ints(vqtbl1q_s8(vld1q_s8(table), vreinterpretq_u8_s32(v)));
    }
    static vi iq4_nl(vi v) { return {iq4_nl(v.low), iq4_nl(v.high)}; }

    static vi bytes(const char * a, const char *) { return {ints(load_16(a)), ints(load_16(a + 16))}; }
    static vi nibbles(const char * a, const char *) {  // 16 bytes, and again moved right by four bits
        const int32x4_t v = ints(load_16(a));
        return {v, right(v, 4)};
    }
    static vi high_bits(const char * p, int a, int, int bits) { return left(low_bits(right(bytes(p, p), a), bits), 4); }

    // The sums over 16 bytes of four rows, side by side; then over what is a block's of all rows.
    static int32x4_t four_sums(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) { return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)); }
    static vi four_sums(const vi * s) {
        return {four_sums(s[0].low, s[1].low, s[2].low, s[3].low), four_sums(s[0].high, s[1].high, s[2].high, s[3].high)};
    }
    template <long PARTS> static void all_sums(const vi * q, vi * out) {
        const vi a = {q[0].low, q[1].low}, b = {q[0].high, q[1].high};
        out[0] = PARTS == 1 ? add(a, b) : a;
        out[PARTS - 1] = PARTS == 1 ? out[0] : b;
    }

    static bool none_in(const float * x, long n) {  // whether some are no numbers
        uint32x4_t all = vdupq_n_u32(~0u);
        for (long i = 0; i < n; i += 4) {
            const float32x4_t v = vld1q_f32(x + i);
            all = vandq_u32(all, vceqq_f32(v, v));
        }
        return vminvq_u32(all) == 0;
    }
    static void range(const float * x, long n, float * high, float * low) {
        float32x4_t h = vld1q_f32(x), l = h;
        for (long i = 4; i < n; i += 4) {
            h = vmaxnmq_f32(h, vld1q_f32(x + i));
            l = vminnmq_f32(l, vld1q_f32(x + i));
        }
        *high = vmaxnmvq_f32(h);
        *low  = vminnmvq_f32(l);
    }
    static float to_half_and_back(float v) { return vgetq_lane_f32(vcvt_f32_f16(vcvt_f16_f32(vdupq_n_f32(v))), 0); }
    static float top_32(const float * x) {
        float32x4_t m = vabsq_f32(vld1q_f32(x));
        for (long i = 4; i < 32; i += 4) {
            m = vmaxnmq_f32(m, vabsq_f32(vld1q_f32(x + i)));
        }
        return vmaxnmvq_f32(m);
    }
    static int32x4_t rounded(const float * x, float inverse) {  // -127 where there is no number
        const float32x4_t v = vmulq_f32(vld1q_f32(x), vdupq_n_f32(inverse));
        return vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(v, vdupq_n_f32(-127.0f)), vdupq_n_f32(127.0f)));
    }
    template <long SIXTEENS> static int32_t round_all(const float * x, float inverse, char * out) {  // and their sum
        int32x4_t sum = vdupq_n_s32(0);
        for (long i = 0; i < SIXTEENS * 16; i += 8) {
            const int32x4_t a = rounded(x + i, inverse), b = rounded(x + i + 4, inverse);
            vst1_s8(reinterpret_cast<int8_t *>(out + i), vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))));
            sum = vaddq_s32(sum, vaddq_s32(a, b));
        }
        return vaddvq_s32(sum);
    }
};

template <class V> omni::matvec panel_or_none(int32_t type) {
    return omni::panel_format_of(type).unit ? panel_matvec<V>(type) : omni::matvec{type, 1, nullptr, nullptr, nullptr};
}

} // namespace
