// Few-row products on AVX2.
#include "kernels/matvec.h"

#if defined(__AVX2__)
#include "ggml.h"

#include <immintrin.h>

namespace omni {

namespace {

constexpr int64_t ahead = 2048;  // bytes that are fetched before they are needed

inline uint32_t word(const char * p) { uint32_t v; __builtin_memcpy(&v, p, sizeof(v)); return v; }
inline float half_at(const char * p) { uint16_t v; __builtin_memcpy(&v, p, sizeof(v)); return _cvtsh_ss(v); }
inline __m256i load(const char * p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }

inline float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline float most_of(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline int32_t sum_of(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

// Pairs of unsigned times signed bytes, summed up by fours. Both sides stay below 128, so no pair saturates.
inline __m256i fours(__m256i a, __m256i b) { return _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)); }

// --- rows as 8-bit blocks of 32: all numbers, then a scale for each block, then scale * sum ---------------------------

size_t q8_bytes(int32_t, int64_t n_in) { return (size_t(n_in) + size_t(n_in / 32) * 8 + 63) / 64 * 64; }

// 32 numbers times inverse, rounded -> the bytes; returns their sum.
inline int32_t round_block(const float * x, float inverse, char * out) {
    __m256i q[4];
    for (int k = 0; k < 4; k++) {
        q[k] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * k), _mm256_set1_ps(inverse)));
    }
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    return sum_of(_mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3])));
}

// The same for superblocks: one scale for 256 numbers, and what lies furthest from zero becomes -127.
void q8_k_ready(int32_t, const float * x, int64_t n_in, char * out) {
    float * scales = reinterpret_cast<float *>(out + n_in), * sums = scales + n_in / 32;
    for (int64_t s = 0; s < n_in / 256; s++) {
        __m256 highest = _mm256_loadu_ps(x + s * 256), lowest = highest;
        for (int i = 8; i < 256; i += 8) {
            highest = _mm256_max_ps(highest, _mm256_loadu_ps(x + s * 256 + i));
            lowest  = _mm256_min_ps(lowest, _mm256_loadu_ps(x + s * 256 + i));
        }
        const float high = most_of(highest), low = -most_of(_mm256_sub_ps(_mm256_setzero_ps(), lowest));
        const float most = -low > high ? low : high;
        const float inverse = most != 0.0f ? -127.0f / most : 0.0f;
        for (int64_t b = s * 8; b < s * 8 + 8; b++) {
            scales[b] = most != 0.0f ? 1.0f / inverse : 0.0f;
            sums[b]   = scales[b] * float(round_block(x + b * 32, inverse, out + b * 32));
        }
    }
}

void q8_ready(int32_t, const float * x, int64_t n_in, char * out) {
    float * scales = reinterpret_cast<float *>(out + n_in), * sums = scales + n_in / 32;
    const __m256 sign = _mm256_set1_ps(-0.0f);
    for (int64_t b = 0; b < n_in / 32; b++, x += 32) {
        __m256 most = _mm256_setzero_ps();
        for (int k = 0; k < 4; k++) {
            most = _mm256_max_ps(most, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * k)));
        }
        const float top = most_of(most);
        const int32_t sum = round_block(x, top > 0.0f ? 127.0f / top : 0.0f, out + b * 32);
        scales[b] = _cvtsh_ss(_cvtss_sh(top / 127.0f, _MM_FROUND_TO_NEAREST_INT));  // a half, in ggml's blocks
        sums[b]   = scales[b] * float(sum);
    }
}

template <int N>
void q8_0_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m256 acc[N];
        for (int i = 0; i < N; i++) {
            acc[i] = _mm256_setzero_ps();
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += 34) {
            _mm_prefetch(row + ahead, _MM_HINT_T0);
            const __m256i q = load(row + 2), size = _mm256_abs_epi8(q);
            const float   d = half_at(row);
            for (int i = 0; i < N; i++) {
                const char * xi = x + size_t(i) * x_stride;
                const __m256i sum = fours(size, _mm256_sign_epi8(load(xi + b * 32), q));
                const float scale = d * reinterpret_cast<const float *>(xi + n_in)[b];
                acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale), acc[i]);
            }
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = sum_of(acc[i]);
        }
    }
}

template <int N>
void q4_k_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const __m256i low = _mm256_set1_epi8(15);
    const int64_t n_blocks = n_in / 32;
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m256 acc[N];
        for (int i = 0; i < N; i++) {
            acc[i] = _mm256_setzero_ps();
        }
        for (int64_t s = 0; s < n_in / 256; s++, row += 144) {
            _mm_prefetch(row + ahead, _MM_HINT_T0);
            _mm_prefetch(row + ahead + 64, _MM_HINT_T0);
            const uint32_t u0 = word(row + 4), u1 = word(row + 8), u2 = word(row + 12);
            const __m128i scale_bits = _mm_set_epi32(0, 0, int((u2 & 0x0f0f0f0f) | (((u0 >> 6) & 0x03030303) << 4)), int(u0 & 0x3f3f3f3f));
            const __m128i least_bits = _mm_set_epi32(0, 0, int(((u2 >> 4) & 0x0f0f0f0f) | (((u1 >> 6) & 0x03030303) << 4)), int(u1 & 0x3f3f3f3f));
            const __m256 scales = _mm256_mul_ps(_mm256_set1_ps(half_at(row)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scale_bits)));
            const __m256 least  = _mm256_mul_ps(_mm256_set1_ps(half_at(row + 2)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(least_bits)));
            for (int i = 0; i < N; i++) {
                const char  * xi = x + size_t(i) * x_stride;
                const float * of = reinterpret_cast<const float *>(xi + n_in) + s * 8;
                const __m256 both = _mm256_mul_ps(scales, _mm256_loadu_ps(of));
                acc[i] = _mm256_fnmadd_ps(least, _mm256_loadu_ps(of + n_blocks), acc[i]);
                for (int k = 0; k < 4; k++) {
                    const __m256i v  = load(row + 16 + 32 * k);
                    const __m256i lo = fours(_mm256_and_si256(v, low), load(xi + s * 256 + k * 64));
                    const __m256i hi = fours(_mm256_and_si256(_mm256_srli_epi16(v, 4), low), load(xi + s * 256 + k * 64 + 32));
                    acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(lo), _mm256_permutevar8x32_ps(both, _mm256_set1_epi32(2 * k)), acc[i]);
                    acc[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(hi), _mm256_permutevar8x32_ps(both, _mm256_set1_epi32(2 * k + 1)), acc[i]);
                }
            }
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = sum_of(acc[i]);
        }
    }
}

// --- floats: the row is rounded as the weights are, and stays F32. Ready for BF16: of each 16 numbers the even ones, then the odd ones -------------------

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {
    float * to = reinterpret_cast<float *>(out);
    for (int64_t i = 0; i < n_in; i++) {
        float v = x[i];
        if (type == GGML_TYPE_F16) {
            v = _cvtsh_ss(_cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT));
        } else if (type == GGML_TYPE_BF16) {  // to the nearest, of two to the even
            uint32_t bits;
            __builtin_memcpy(&bits, &v, sizeof(v));
            bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
            __builtin_memcpy(&v, &bits, sizeof(v));
        }
        to[type == GGML_TYPE_BF16 ? i / 16 * 16 + i % 2 * 8 + i % 16 / 2 : i] = v;
    }
}

template <int TYPE> inline void load_16(const char * w, __m256 * a, __m256 * b) {
    if (TYPE == GGML_TYPE_F32) {
        *a = _mm256_loadu_ps(reinterpret_cast<const float *>(w));
        *b = _mm256_loadu_ps(reinterpret_cast<const float *>(w) + 8);
    } else if (TYPE == GGML_TYPE_BF16) {
        const __m256i v = load(w);
        *a = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
        *b = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(int(0xffff0000))));
    } else {
        *a = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(w)));
        *b = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(w + 16)));
    }
}

template <int N, int TYPE>
void float_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const size_t step = TYPE == GGML_TYPE_F32 ? 64 : 32;
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m256 acc[N][4];
        for (int i = 0; i < N; i++) {
            for (int k = 0; k < 4; k++) {
                acc[i][k] = _mm256_setzero_ps();
            }
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += 2 * step) {
            _mm_prefetch(row + ahead, _MM_HINT_T0);
            for (int k = 0; k < 2; k++) {
                __m256 wa, wb;
                load_16<TYPE>(row + size_t(k) * step, &wa, &wb);
                for (int i = 0; i < N; i++) {
                    const float * xi = reinterpret_cast<const float *>(x + size_t(i) * x_stride) + b * 32 + k * 16;
                    acc[i][2 * k]     = _mm256_fmadd_ps(wa, _mm256_loadu_ps(xi), acc[i][2 * k]);
                    acc[i][2 * k + 1] = _mm256_fmadd_ps(wb, _mm256_loadu_ps(xi + 8), acc[i][2 * k + 1]);
                }
            }
        }
        for (int i = 0; i < N; i++) {
            y[i * y_stride + r] = sum_of(_mm256_add_ps(_mm256_add_ps(acc[i][0], acc[i][1]), _mm256_add_ps(acc[i][2], acc[i][3])));
        }
    }
}

using rows_fn = void (*)(const char *, size_t, int64_t, int64_t, const char *, size_t, float *, int64_t);

// Two rows of x at a time, then the one that is left.
inline void in_pairs(rows_fn one, rows_fn two, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x,
                     size_t x_stride, int64_t n_x, float * y, int64_t y_stride) {
    for (int64_t i = 0; i < n_x; i += 2) {
        (i + 1 < n_x ? two : one)(w, w_stride, n_rows, n_in, x + size_t(i) * x_stride, x_stride, y + i * y_stride, y_stride);
    }
}

void q8_0_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    in_pairs(q8_0_rows<1>, q8_0_rows<2>, w, ws, n, n_in, x, xs, n_x, y, ys);
}

void q4_k_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    in_pairs(q4_k_rows<1>, q4_k_rows<2>, w, ws, n, n_in, x, xs, n_x, y, ys);
}

template <int TYPE>
void float_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    in_pairs(float_rows<1, TYPE>, float_rows<2, TYPE>, w, ws, n, n_in, x, xs, n_x, y, ys);
}

} // namespace

matvec matvec_avx2(int32_t type) {
    switch (type) {
        case GGML_TYPE_Q8_0: return {type, 32, q8_bytes, q8_ready, q8_0_multiply};
        case GGML_TYPE_Q4_K: return {type, 256, q8_bytes, q8_k_ready, q4_k_multiply};
        case GGML_TYPE_F32:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F32>};
        case GGML_TYPE_F16:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F16>};
        case GGML_TYPE_BF16: return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_BF16>};
        default:             return {type, 1, nullptr, nullptr, nullptr};
    }
}

// exp as 2^n times a polynomial, within two units in the last place; 0 below the smallest normal number.
static __m256 exp_of(__m256 x) {
    const __m256 most = _mm256_set1_ps(88.3762589f), least = _mm256_set1_ps(-87.3365402f);
    const __m256 over = _mm256_cmp_ps(x, _mm256_set1_ps(88.7228394f), _CMP_GT_OQ), none = _mm256_cmp_ps(x, least, _CMP_LT_OQ);
    const __m256 nan  = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256 v = _mm256_max_ps(_mm256_min_ps(x, most), least);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), v);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    __m256 y = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
    y = _mm256_blendv_ps(y, _mm256_setzero_ps(), none);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(__builtin_inff()), over);
    return _mm256_blendv_ps(y, x, nan);
}

void exp_avx2(const float * x, float top, float * out, int64_t n) {
    const __m256 t = _mm256_set1_ps(top);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(out + i, exp_of(_mm256_sub_ps(_mm256_loadu_ps(x + i), t)));
    }
    float rest[8] = {};
    for (int64_t k = i; k < n; k++) {
        rest[k - i] = x[k];
    }
    _mm256_storeu_ps(rest, exp_of(_mm256_sub_ps(_mm256_loadu_ps(rest), t)));
    for (int64_t k = i; k < n; k++) {
        out[k] = rest[k - i];
    }
}

} // namespace omni
#else
namespace omni {
matvec matvec_avx2(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
void exp_avx2(const float * x, float top, float * out, int64_t n) { exp_scalar(x, top, out, n); }
} // namespace omni
#endif
