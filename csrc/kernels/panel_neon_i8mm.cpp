// Panels on NEON with products of matrices of bytes; few rows of x by dot products.
#include "kernels/panel.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#include "kernels/panel_neon.h"

namespace {

struct products {
    static constexpr long max_rows = 4;  // 8 results, 8 sums and what they begin with, weights, x: 25 registers of 32

    static int32x4_t add(int32x4_t sum, int32x4_t a, int32x4_t b) {
        return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
    }
};

// An instruction multiplies 8 numbers of two outputs with those of two rows of x; the last of an odd number of rows goes
// twice, and counts once.
struct v128_matrices : v128_pair<products> {
    static int8x16_t two_rows(const char * a, const char * b) {
        return vcombine_s8(vld1_s8(reinterpret_cast<const int8_t *>(a)), vld1_s8(reinterpret_cast<const int8_t *>(b)));
    }

    template <long R, long G> [[gnu::always_inline]] static void multiply(const uint8_t * w, const char * x, size_t x_stride, vi (&sum)[R]) {
        constexpr long pairs = (R + 1) / 2;
        int32x4_t part[pairs][4];  // of outputs 2j and 2j + 1, each with both rows
#pragma GCC unroll 8
        for (long r = 0; r < pairs; r++) {
#pragma GCC unroll 4
            for (long j = 0; j < 4; j++) {
                part[r][j] = vdupq_n_s32(0);
            }
        }
#pragma GCC unroll 1
        for (long g = 0; g < G; g += 2, w += 2 * lanes * 4, x += 8) {
            const vi a = load(w), b = load(w + lanes * 4);
            const int8x16_t wide[4] = {
                vreinterpretq_s8_s32(vzip1q_s32(a.low, b.low)), vreinterpretq_s8_s32(vzip2q_s32(a.low, b.low)),
                vreinterpretq_s8_s32(vzip1q_s32(a.high, b.high)), vreinterpretq_s8_s32(vzip2q_s32(a.high, b.high))};
#pragma GCC unroll 8
            for (long r = 0; r < pairs; r++) {
                const char * first = x + size_t(2 * r) * x_stride;
                const int8x16_t rows = two_rows(first, 2 * r + 1 < R ? first + x_stride : first);
#pragma GCC unroll 4
                for (long j = 0; j < 4; j++) {
                    part[r][j] = vmmlaq_s32(part[r][j], wide[j], rows);
                }
            }
        }
#pragma GCC unroll 8
        for (long r = 0; r < R; r++) {
            const int32x4_t * p = part[r / 2];
            sum[r] = add(sum[r], r % 2 ? vi{vuzp2q_s32(p[0], p[1]), vuzp2q_s32(p[2], p[3])}
                                       : vi{vuzp1q_s32(p[0], p[1]), vuzp1q_s32(p[2], p[3])});
        }
    }
};

} // namespace

omni::matvec omni::panel_neon_i8mm(int32_t type) { return panel_or_none<v128_matrices>(type); }
#else
omni::matvec omni::panel_neon_i8mm(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
#endif
