// Few-row products with floats on AVX-512.
#include "kernels/matvec.h"

#if defined(__AVX512VNNI__)
#include "kernels/matvec_rows.h"

#include "ggml.h"

#include <immintrin.h>

namespace omni {

namespace {

constexpr int64_t ahead = 3072;  // bytes that are fetched before they are needed

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

// R rows of weights at once, so that x, which with several rows leaves the first cache, is read once for them.
template <int N, int TYPE, int R>
void float_tiles(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, int64_t next, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    constexpr size_t step = TYPE == GGML_TYPE_F32 ? 128 : 64;
    for (int64_t r = 0; r < n_rows; r += R) {
        const char * row = w + size_t(r) * w_stride;
        __m512 even[R][N], odd[R][N];
#pragma GCC unroll 4
        for (int j = 0; j < R; j++) {
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) {
                even[j][i] = odd[j][i] = _mm512_setzero_ps();
            }
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += step) {
            __m512 wa[R], wb[R];
#pragma GCC unroll 4
            for (int j = 0; j < R; j++) {
                const char * from = row + size_t(j) * w_stride;
                _mm_prefetch(from + next, _MM_HINT_T1);
                if (TYPE == GGML_TYPE_F32) {
                    _mm_prefetch(from + next + 64, _MM_HINT_T1);
                }
                load_32<TYPE>(from, &wa[j], &wb[j]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) {
                const float * xi = reinterpret_cast<const float *>(x + size_t(i) * x_stride) + b * 32;
                const __m512 xa = _mm512_loadu_ps(xi), xb = _mm512_loadu_ps(xi + 16);
#pragma GCC unroll 4
                for (int j = 0; j < R; j++) {
                    even[j][i] = _mm512_fmadd_ps(wa[j], xa, even[j][i]);
                    odd[j][i]  = _mm512_fmadd_ps(wb[j], xb, odd[j][i]);
                }
            }
        }
#pragma GCC unroll 4
        for (int j = 0; j < R; j++) {
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) {
                y[i * y_stride + r + j] = _mm512_reduce_add_ps(_mm512_add_ps(even[j][i], odd[j][i]));
            }
        }
    }
}

template <int N, int TYPE>
void float_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    constexpr int R = N == 1 ? 1 : N == 4 ? 3 : 4;  // as many sums as there are registers for
    const int64_t bytes = n_in * (TYPE == GGML_TYPE_F32 ? 4 : 2), whole = n_rows / R * R;
    // short rows need not lie close together: keys of one head do not
    const int64_t next = R == 1 && bytes >= ahead ? ahead : (bytes * R < ahead ? ahead / bytes : R) * int64_t(w_stride);
    float_tiles<N, TYPE, R>(w, w_stride, whole, n_in, next, x, x_stride, y, y_stride);
    float_tiles<N, TYPE, 1>(w + size_t(whole) * w_stride, w_stride, n_rows - whole, n_in, next, x, x_stride, y + whole, y_stride);
}

template <int TYPE>
void float_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static constexpr rows_fn by_n[] = {float_rows<1, TYPE>, float_rows<2, TYPE>, float_rows<3, TYPE>, float_rows<4, TYPE>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

} // namespace

matvec matvec_avx512(int32_t type) {
    switch (type) {
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
