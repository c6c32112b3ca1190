// Attention on AVX-512 with VNNI.
#include "kernels/attend.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "kernels/attend_tiles.h"

namespace {

struct v512 {
    using vf = __m512;
    using vi = __m512i;
    using vv = __m512i;
    static constexpr long width = 16, dots = 16, channels = 32, blocks = 2;

    static vf zero() { return _mm512_setzero_ps(); }
    static vi zero_int() { return _mm512_setzero_si512(); }
    static vf load(const float * p) { return _mm512_loadu_ps(p); }
    static vf load(of_f32, const char * p) { return _mm512_loadu_ps(p); }
    static vf load(of_f16, const char * p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))); }
    static vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
    static void fetch(const char * p) { _mm_prefetch(p, _MM_HINT_T1); }  // rows that lie a page apart fight for the same few lines of the first cache

    static vf four_sums(vf a, vf b, vf c, vf d) {  // side by side
        const vf ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
        const vf cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
        return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    }
    static void sums(const vf (&s)[16][1], float * out) {
        vf q[4];
#pragma GCC unroll 4
        for (long k = 0; k < 4; k++) {
            q[k] = four_sums(s[k][0], s[4 + k][0], s[8 + k][0], s[12 + k][0]);
        }
        const __m512d a = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(q[0], q[1]), _mm512_unpackhi_ps(q[0], q[1])));
        const __m512d b = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(q[2], q[3]), _mm512_unpackhi_ps(q[2], q[3])));
        _mm512_store_ps(out, _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b))));
    }

    // Channels 0 to 7 and 16 to 23, then the others.
    static void pairs(const char * a, const char * b, vi * out) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(a)), y = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(b));
        out[0] = _mm512_cvtepi8_epi16(_mm256_unpacklo_epi8(x, y));
        out[1] = _mm512_cvtepi8_epi16(_mm256_unpackhi_epi8(x, y));
    }
    static vi spread_pair(const int16_t * q) {
        int32_t v;
        memcpy(&v, q, sizeof(v));
        return _mm512_set1_epi32(v);
    }
    static vi add_products(vi sum, vi a, vi b) { return _mm512_dpwssd_epi32(sum, a, b); }
    static void add_scaled(float * y, const vi * sum, float one) {
#pragma GCC unroll 2
        for (long k = 0; k < 2; k++) {
            const vf s = _mm512_cvtepi32_ps(sum[k]);
            float * low = y + 8 * k, * high = low + 16;
            const __m256 by = _mm256_set1_ps(one);
            _mm256_storeu_ps(low, _mm256_fmadd_ps(_mm512_castps512_ps256(s), by, _mm256_loadu_ps(low)));
            _mm256_storeu_ps(high, _mm256_fmadd_ps(_mm512_extractf32x8_ps(s, 1), by, _mm256_loadu_ps(high)));
        }
    }
    static void widen(const uint16_t * h, float * out) {
#pragma GCC unroll 4
        for (long p = 0; p < group; p += 16) {
            _mm512_store_ps(out + p, load(of_f16(), reinterpret_cast<const char *>(h + p)));
        }
    }
    static float whole_numbers(const float * w, const float * scales, int16_t * q) {
        vf c[group / 16];
        vi most = zero_int();
#pragma GCC unroll 4
        for (long k = 0; k < group / 16; k++) {
            c[k] = _mm512_mul_ps(_mm512_loadu_ps(w + 16 * k), _mm512_load_ps(scales + 16 * k));
            most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(c[k]), _mm512_set1_epi32(0x7fffffff)));
        }
        float one;
        const vf inverse = _mm512_set1_ps(whole_inverse(_mm512_reduce_max_epu32(most), &one));
#pragma GCC unroll 4
        for (long k = 0; k < group / 16; k++) {
            const vi whole = _mm512_cvtps_epi32(_mm512_mul_ps(c[k], inverse));
            _mm256_store_si256(reinterpret_cast<__m256i *>(q + 16 * k), _mm512_cvtsepi32_epi16(whole));
        }
        return one;
    }
};

} // namespace

namespace omni {
attend_kernel attend_avx512(int32_t type) { return attend_of<v512>(type); }
} // namespace omni
#else
namespace omni {
attend_kernel attend_avx512(int32_t type) { return {type, false, nullptr, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
