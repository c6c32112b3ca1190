// Attention on AVX2 with FMA and F16C.
#include "kernels/attend.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include "kernels/attend_tiles.h"

namespace {

struct v256 {
    using vf = __m256;
    using vi = __m256i;
    using vv = __m256i;
    static constexpr long width = 8, dots = 4, channels = 32, blocks = 4;

    static vf zero() { return _mm256_setzero_ps(); }
    static vi zero_int() { return _mm256_setzero_si256(); }
    static vf load(const float * p) { return _mm256_loadu_ps(p); }
    static vf load(of_f32, const char * p) { return _mm256_loadu_ps(reinterpret_cast<const float *>(p)); }
    static vf load(of_f16, const char * p) { return _mm256_cvtph_ps(load_16(p)); }
    static vf fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
    static void fetch(const char * p) { _mm_prefetch(p, _MM_HINT_T1); }  // rows that lie a page apart fight for the same few lines of the first cache

    static void sums(const vf (&s)[4][2], float * out) {
        __m128 q[4];
#pragma GCC unroll 4
        for (long k = 0; k < 4; k++) {
            const vf both = _mm256_add_ps(s[k][0], s[k][1]);
            q[k] = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
        }
        const __m128 a = _mm_add_ps(_mm_unpacklo_ps(q[0], q[1]), _mm_unpackhi_ps(q[0], q[1]));
        const __m128 b = _mm_add_ps(_mm_unpacklo_ps(q[2], q[3]), _mm_unpackhi_ps(q[2], q[3]));
        _mm_store_ps(out, _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)));
    }

    static __m128i load_16(const char * p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }
    static void pairs(const char * a, const char * b, vi * out) {
#pragma GCC unroll 2
        for (long k = 0; k < 2; k++) {
            const __m128i x = load_16(a + 16 * k), y = load_16(b + 16 * k);
            out[2 * k]     = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, y));
            out[2 * k + 1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x, y));
        }
    }
    static vi spread_pair(const int16_t * q) {
        int32_t v;
        memcpy(&v, q, sizeof(v));
        return _mm256_set1_epi32(v);
    }
    static vi add_products(vi sum, vi a, vi b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
    static void add_scaled(float * y, const vi * sum, float one) {
#pragma GCC unroll 4
        for (long k = 0; k < 4; k++) {
            _mm256_storeu_ps(y + 8 * k, fma(_mm256_cvtepi32_ps(sum[k]), _mm256_set1_ps(one), load(y + 8 * k)));
        }
    }
    static void widen(const uint16_t * h, float * out) {
        for (long p = 0; p < group; p += 8) {
            _mm256_store_ps(out + p, load(of_f16(), reinterpret_cast<const char *>(h + p)));
        }
    }
    static float whole_numbers(const float * w, const float * scales, int16_t * q) {
        alignas(32) float c[group];
        vi most = zero_int();
        for (long p = 0; p < group; p += 8) {
            const vf v = _mm256_mul_ps(load(w + p), _mm256_load_ps(scales + p));
            _mm256_store_ps(c + p, v);
            most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff)));
        }
        __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
        m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
        m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
        float one;
        const vf inverse = _mm256_set1_ps(whole_inverse(uint32_t(_mm_cvtsi128_si32(m)), &one));
        for (long p = 0; p < group; p += 16) {
            const vi a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_load_ps(c + p), inverse));
            const vi b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_load_ps(c + p + 8), inverse));
            _mm256_store_si256(reinterpret_cast<vi *>(q + p), _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8));
        }
        return one;
    }
};

} // namespace

namespace omni {
attend_kernel attend_avx2(int32_t type) { return attend_of<v256>(type); }
} // namespace omni
#else
namespace omni {
attend_kernel attend_avx2(int32_t type) { return {type, false, nullptr, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
