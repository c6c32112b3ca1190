// Few-row products on AVX-512 with VNNI.
#include "kernels/matvec.h"

#if defined(__AVX512VNNI__)
#include "ggml.h"

#include <immintrin.h>

namespace omni {

namespace {

constexpr int64_t ahead = 3072;  // bytes that are fetched before they are needed

inline uint32_t word(const char * p) { uint32_t v; __builtin_memcpy(&v, p, sizeof(v)); return v; }
inline int16_t  half_bits(const char * p) { int16_t v; __builtin_memcpy(&v, p, sizeof(v)); return v; }

// --- rows as 8-bit blocks of 32 -------------------------------------------------------------------------------------
// Ready: pairs of blocks, each pair 64 numbers, then for each pair 16 corrections, then 16 scales. Weights go into the
// product as unsigned (plus 128); the correction takes 128 times the row's numbers off again.

inline int64_t pairs(int64_t n_in) { return (n_in + 63) / 64; }

size_t q8_bytes(int32_t, int64_t n_in) { return size_t(pairs(n_in)) * 192; }

inline __m256i rounded_block(const float * x, __m512 inverse) {
    const __m128i lo = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)));
    const __m128i hi = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), inverse)));
    return _mm256_set_m128i(hi, lo);
}

inline float quantise_block(const float * x, __m256i * out) {
    const float top = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), _mm512_abs_ps(_mm512_loadu_ps(x + 16))));
    *out = rounded_block(x, _mm512_set1_ps(top > 0.0f ? 127.0f / top : 0.0f));
    return _cvtsh_ss(_cvtss_sh(top / 127.0f, _MM_FROUND_TO_NEAREST_INT));  // a half, in ggml's blocks
}

void q8_ready(int32_t, const float * x, int64_t n_in, char * out) {
    const int64_t n_pairs = pairs(n_in);
    char * fix = out + n_pairs * 64, * scales = fix + n_pairs * 64;
    for (int64_t b = 0; b < 2 * n_pairs; b++) {
        __m256i q = _mm256_setzero_si256();
        float scale = 0.0f;
        if (b * 32 < n_in) {
            scale = quantise_block(x + b * 32, &q);
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + b * 32), q);
        const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(char(128)), q);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(fix + b * 32), _mm256_sub_epi32(_mm256_setzero_si256(), sums));
        _mm256_storeu_ps(reinterpret_cast<float *>(scales + b * 32), _mm256_set1_ps(scale));
    }
}

template <int N>
inline void q8_pair(__m512i w, __m512 scale, const char * x, size_t x_stride, int64_t p, int64_t n_pairs, __m512 * acc) {
    for (int i = 0; i < N; i++) {
        const char * xi = x + size_t(i) * x_stride + p * 64;
        __m512i sum = _mm512_loadu_si512(xi + n_pairs * 64);
        sum = _mm512_dpbusd_epi32(sum, w, _mm512_loadu_si512(xi));
        acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                                 _mm512_mul_ps(scale, _mm512_loadu_ps(reinterpret_cast<const float *>(xi + n_pairs * 128))), acc[i]);
    }
}

template <int N>
void q8_0_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const int64_t n_pairs = pairs(n_in), n_whole = n_in / 64;
    const __m512i sign = _mm512_set1_epi8(char(128));
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m512 acc[N];
        for (int i = 0; i < N; i++) {
            acc[i] = _mm512_setzero_ps();
        }
        for (int64_t p = 0; p < n_whole; p++) {
            const char * b = row + p * 68;
            _mm_prefetch(b + ahead, _MM_HINT_T0);
            const __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(b + 2))),
                                                 _mm256_loadu_si256(reinterpret_cast<const __m256i *>(b + 36)), 1);
            const __m256i d = _mm256_mask_set1_epi16(_mm256_set1_epi16(half_bits(b)), 0xff00, half_bits(b + 34));
            q8_pair<N>(_mm512_xor_si512(v, sign), _mm512_cvtph_ps(d), x, x_stride, p, n_pairs, acc);
        }
        if (n_whole < n_pairs) {
            const char * b = row + n_whole * 68;
            const __m512i v = _mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(b + 2)));
            q8_pair<N>(_mm512_xor_si512(v, sign), _mm512_cvtph_ps(_mm256_set1_epi16(half_bits(b))), x, x_stride, n_whole, n_pairs, acc);
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc[i]);
        }
    }
}

// --- 4-bit weights in superblocks of 256: 8 blocks of 32, each with a scale and a minimum of 6 bits ------------------
// Ready: a superblock's 256 numbers in the order 0 2 1 3 4 6 5 7 of blocks, as the nibbles lie, then 8 scales and 8
// negated sums.

size_t q4_k_bytes(int32_t, int64_t n_in) { return size_t(n_in / 256) * 320; }

void q4_k_ready(int32_t, const float * x, int64_t n_in, char * out) {
    static const int place[8] = {0, 2, 1, 3, 4, 6, 5, 7};  // its own inverse
    for (int64_t s = 0; s < n_in / 256; s++, out += 320) {
        float * scales = reinterpret_cast<float *>(out + 256);
        __m512 highest = _mm512_loadu_ps(x + s * 256), lowest = highest;
        for (int i = 16; i < 256; i += 16) {
            highest = _mm512_max_ps(highest, _mm512_loadu_ps(x + s * 256 + i));
            lowest  = _mm512_min_ps(lowest, _mm512_loadu_ps(x + s * 256 + i));
        }
        const float high = _mm512_reduce_max_ps(highest), low = _mm512_reduce_min_ps(lowest);
        const float most = -low > high ? low : high;  // what lies furthest from zero becomes -127
        const float inverse = most != 0.0f ? -127.0f / most : 0.0f, scale = most != 0.0f ? 1.0f / inverse : 0.0f;
        for (int b = 0; b < 8; b++) {
            const __m256i q = rounded_block(x + s * 256 + b * 32, _mm512_set1_ps(inverse));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + place[b] * 32), q);
            const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
            scales[b]     = scale;
            scales[8 + b] = -scale * float(_mm512_reduce_add_epi32(_mm512_zextsi256_si512(sums)));
        }
    }
}

template <int N>
void q4_k_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i spread[4];  // which of a superblock's scales go with the lanes of each product
    static const int first[4] = {0, 1, 4, 5};
    for (int k = 0; k < 4; k++) {
        spread[k] = _mm512_inserti64x4(_mm512_set1_epi32(first[k]), _mm256_set1_epi32(first[k] + 2), 1);
    }
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m512 acc[N];
        for (int i = 0; i < N; i++) {
            acc[i] = _mm512_setzero_ps();
        }
        for (int64_t s = 0; s < n_in / 256; s++) {
            const char * b = row + s * 144;
            _mm_prefetch(b + ahead, _MM_HINT_T0);
            _mm_prefetch(b + ahead + 64, _MM_HINT_T0);
            const uint32_t u0 = word(b + 4), u1 = word(b + 8), u2 = word(b + 12);
            const __m128i bits = _mm_set_epi32(int(((u2 >> 4) & 0x0f0f0f0f) | (((u1 >> 6) & 0x03030303) << 4)), int(u1 & 0x3f3f3f3f),
                                               int((u2 & 0x0f0f0f0f) | (((u0 >> 6) & 0x03030303) << 4)), int(u0 & 0x3f3f3f3f));
            const __m512 d = _mm512_cvtph_ps(_mm256_mask_set1_epi16(_mm256_set1_epi16(half_bits(b)), 0xff00, half_bits(b + 2)));
            const __m512 scales = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bits)));
            const __m512i w0 = _mm512_loadu_si512(b + 16), w1 = _mm512_loadu_si512(b + 80);
            const __m512i q[4] = {_mm512_and_si512(w0, low), _mm512_and_si512(_mm512_srli_epi16(w0, 4), low),
                                  _mm512_and_si512(w1, low), _mm512_and_si512(_mm512_srli_epi16(w1, 4), low)};
            for (int i = 0; i < N; i++) {
                const char * xi = x + size_t(i) * x_stride + s * 320;
                const __m512 both = _mm512_mul_ps(scales, _mm512_loadu_ps(reinterpret_cast<const float *>(xi + 256)));
                acc[i] = _mm512_mask_add_ps(acc[i], 0xff00, acc[i], both);
                for (int k = 0; k < 4; k++) {
                    const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[k], _mm512_loadu_si512(xi + k * 64));
                    acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_permutexvar_ps(spread[k], both), acc[i]);
                }
            }
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc[i]);
        }
    }
}

// --- floats: the row is rounded as the weights are, and stays F32 ---------------------------------------------------------------------------------------
// Ready for BF16: of each 32 numbers the even ones, then the odd ones, as a pair of weights lies in 32 bits.

inline __m512 bf16(__m512 v) {  // to the nearest, of two to the even
    const __m512i bits = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(int(0xffff0000))));
}

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {
    float * to = reinterpret_cast<float *>(out);
    const __m512i apart = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    for (int64_t i = 0; i < n_in; i += 32) {
        __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
        if (type == GGML_TYPE_F16) {
            a = _mm512_cvtph_ps(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
            b = _mm512_cvtph_ps(_mm512_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT));
        } else if (type == GGML_TYPE_BF16) {
            const __m512 even = bf16(_mm512_permutex2var_ps(a, apart, b));
            b = bf16(_mm512_permutex2var_ps(a, _mm512_add_epi32(apart, _mm512_set1_epi32(1)), b));
            a = even;
        }
        _mm512_storeu_ps(to + i, a);
        _mm512_storeu_ps(to + i + 16, b);
    }
}

template <int TYPE> inline void load_32(const char * w, __m512 * a, __m512 * b) {
    if (TYPE == GGML_TYPE_F32) {
        *a = _mm512_loadu_ps(reinterpret_cast<const float *>(w));
        *b = _mm512_loadu_ps(reinterpret_cast<const float *>(w) + 16);
    } else {
        const __m512i v = _mm512_loadu_si512(w);
        if (TYPE == GGML_TYPE_BF16) {
            *a = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
            *b = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(int(0xffff0000))));
        } else {
            *a = _mm512_cvtph_ps(_mm512_castsi512_si256(v));
            *b = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1));
        }
    }
}

template <int N, int TYPE>
void float_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const size_t step = TYPE == GGML_TYPE_F32 ? 128 : 64;
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m512 even[N], odd[N];
        for (int i = 0; i < N; i++) {
            even[i] = odd[i] = _mm512_setzero_ps();
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += step) {
            _mm_prefetch(row + ahead, _MM_HINT_T0);
            if (TYPE == GGML_TYPE_F32) {
                _mm_prefetch(row + ahead + 64, _MM_HINT_T0);
            }
            __m512 wa, wb;
            load_32<TYPE>(row, &wa, &wb);
            for (int i = 0; i < N; i++) {
                const float * xi = reinterpret_cast<const float *>(x + size_t(i) * x_stride) + b * 32;
                even[i] = _mm512_fmadd_ps(wa, _mm512_loadu_ps(xi), even[i]);
                odd[i]  = _mm512_fmadd_ps(wb, _mm512_loadu_ps(xi + 16), odd[i]);
            }
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = _mm512_reduce_add_ps(_mm512_add_ps(even[i], odd[i]));
        }
    }
}

using rows_fn = void (*)(const char *, size_t, int64_t, int64_t, const char *, size_t, float *, int64_t);

// Four rows of x at a time, then those that are left.
inline void in_groups(const rows_fn * by_n, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x,
                      size_t x_stride, int64_t n_x, float * y, int64_t y_stride) {
    for (int64_t i = 0; i < n_x; i += 4) {
        const int64_t n = n_x - i < 4 ? n_x - i : 4;
        by_n[n - 1](w, w_stride, n_rows, n_in, x + size_t(i) * x_stride, x_stride, y + i * y_stride, y_stride);
    }
}

void q8_0_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static const rows_fn by_n[] = {q8_0_rows<1>, q8_0_rows<2>, q8_0_rows<3>, q8_0_rows<4>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

void q4_k_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static const rows_fn by_n[] = {q4_k_rows<1>, q4_k_rows<2>, q4_k_rows<3>, q4_k_rows<4>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

template <int TYPE>
void float_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static const rows_fn by_n[] = {float_rows<1, TYPE>, float_rows<2, TYPE>, float_rows<3, TYPE>, float_rows<4, TYPE>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

} // namespace

matvec matvec_avx512(int32_t type) {
    switch (type) {
        case GGML_TYPE_Q8_0: return {type, 32, q8_bytes, q8_ready, q8_0_multiply};
        case GGML_TYPE_Q4_K: return {type, 256, q4_k_bytes, q4_k_ready, q4_k_multiply};
        case GGML_TYPE_F32:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F32>};
        case GGML_TYPE_F16:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F16>};
        case GGML_TYPE_BF16: return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_BF16>};
        default:             return {type, 1, nullptr, nullptr, nullptr};
    }
}

} // namespace omni
#else
namespace omni {
matvec matvec_avx512(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
