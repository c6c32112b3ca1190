// Few-row products with floats on AVX2.
#include "kernels/matvec.h"

#if defined(__AVX2__)
#include "kernels/half.h"
#include "kernels/matvec_rows.h"

#include "ggml.h"

#include <immintrin.h>

namespace omni {

namespace {

constexpr int64_t ahead = 2048;  // bytes that are fetched before they are needed

inline __m256i load(const char * p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }

inline float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// --- floats: the row is rounded as the weights are, and stays F32. Ready for BF16: of each 16 numbers the even ones, then the odd ones -------------------

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {
    float * to = reinterpret_cast<float *>(out);
    for (int64_t i = 0; i < n_in; i++) {
        float v = x[i];
        if (type == GGML_TYPE_F16) {
            v = to_half_and_back(v);
        } else if (type == GGML_TYPE_BF16) {  // to the nearest, of two to the even
            uint32_t bits;
            memcpy(&bits, &v, sizeof(v));
            bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
            memcpy(&v, &bits, sizeof(v));
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
    const int64_t bytes = n_in / 32 * int64_t(2 * step);  // short rows need not lie close together: keys of one head do not
    const int64_t next  = bytes < ahead ? ahead / bytes * int64_t(w_stride) : ahead;
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        __m256 acc[N][4];
        for (int i = 0; i < N; i++) {
            for (int k = 0; k < 4; k++) {
                acc[i][k] = _mm256_setzero_ps();
            }
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += 2 * step) {
            _mm_prefetch(row + next, _MM_HINT_T0);
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

template <int TYPE>
void float_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static constexpr rows_fn by_n[] = {float_rows<1, TYPE>, float_rows<2, TYPE>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

} // namespace

matvec matvec_avx2(int32_t type) {
    switch (type) {
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
    y = _mm256_blendv_ps(y, _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000)), over);
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
