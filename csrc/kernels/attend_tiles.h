// Attention's inner loops without intrinsics, over the vectors V of an instruction set, each of which compiles them for
// itself. What comes out is defined in attend.h, so tiles of any shape give the same bits.
#pragma once

#include "kernels/attend.h"

#include <string.h>

#include "ggml.h"

namespace {

// What rows hold: V loads a vector of such numbers as floats.
struct of_f32 { static constexpr long size = 4; };
struct of_f16 { static constexpr long size = 2; };

// --- products of floats: ROWS of them with VECTORS, all at once -------------------------------------------------------

template <class V, class T, long ROWS, long VECTORS>
void dot_tile(const char * const * row, int64_t n, int64_t ahead, const float * x, int64_t x_stride, float * out) {
    constexpr long parts = 16 / V::width;
    typename V::vf acc[ROWS * VECTORS][parts];
#pragma GCC unroll 16
    for (long i = 0; i < ROWS * VECTORS; i++) {
#pragma GCC unroll 4
        for (long p = 0; p < parts; p++) {
            acc[i][p] = V::zero();
        }
    }
    for (int64_t at = 0; at < n; at += 16) {
#pragma GCC unroll 4
        for (long p = 0; p < parts; p++) {
            typename V::vf w[ROWS];
#pragma GCC unroll 16
            for (long r = 0; r < ROWS; r++) {
                const char * from = row[r] + (at + p * V::width) * T::size;
                if (p == 0) {
                    V::fetch(from + ahead);
                }
                w[r] = V::load(T(), from);
            }
#pragma GCC unroll 4
            for (long i = 0; i < VECTORS; i++) {
                const typename V::vf b = V::load(x + i * x_stride + at + p * V::width);
#pragma GCC unroll 16
                for (long r = 0; r < ROWS; r++) {
                    acc[i * ROWS + r][p] = V::fma(w[r], b, acc[i * ROWS + r][p]);
                }
            }
        }
    }
    V::sums(acc, out);
}

// `ahead` bytes behind what is read lies what will be wanted soon.
template <class V, class T, long VECTORS>
void dot_rows(const char * w, size_t stride, int64_t n_rows, int64_t n, int64_t ahead, const float * x, int64_t x_stride, int64_t n_x, float * y,
              int64_t y_stride) {
    constexpr long rows = V::dots / VECTORS;
    for (int64_t r0 = 0; r0 < n_rows; r0 += rows) {
        const long live = n_rows - r0 < rows ? long(n_rows - r0) : rows;
        const char * row[rows];
        for (long r = 0; r < rows; r++) {  // the last again where there are fewer
            row[r] = w + size_t(r0 + (r < live ? r : live - 1)) * stride;
        }
        for (int64_t i = 0; i < n_x; i += VECTORS) {
            alignas(64) float out[V::dots];
            dot_tile<V, T, rows, VECTORS>(row, n, ahead, x + i * x_stride, x_stride, out);
            for (long k = 0; k < VECTORS; k++) {
                for (long r = 0; r < live; r++) {
                    y[(i + k) * y_stride + r0 + r] = out[k * rows + r];
                }
            }
        }
    }
}

template <class V, class T>
void dots(const char * w, size_t stride, int64_t n_rows, int64_t n, int64_t ahead, const float * x, int64_t x_stride, int64_t n_x, float * y,
          int64_t y_stride) {
    const int64_t fours = V::dots == 16 ? n_x / 4 * 4 : 0, twos = (n_x - fours) / 2 * 2, even = fours + twos;
    if constexpr (V::dots == 16) {
        dot_rows<V, T, 4>(w, stride, fours ? n_rows : 0, n, ahead, x, x_stride, fours, y, y_stride);
    }
    dot_rows<V, T, 2>(w, stride, twos ? n_rows : 0, n, ahead, x + fours * x_stride, x_stride, twos, y + fours * y_stride, y_stride);
    dot_rows<V, T, 1>(w, stride, even < n_x ? n_rows : 0, n, ahead, x + even * x_stride, x_stride, 1, y + even * y_stride, y_stride);
}

template <class V, class T> void look(int32_t, const char * k, size_t k_stride, int64_t n, int64_t head_dim, const char * x, size_t x_stride, int64_t n_x,
                                      float * scores, int64_t stride) {
    const int64_t ahead = omni::attend_unit * int64_t(k_stride);  // the keys of one head do not lie close together
    dots<V, T>(k, k_stride, n, head_dim, ahead, reinterpret_cast<const float *>(x), int64_t(x_stride / sizeof(float)), n_x, scores, stride);
}

template <class V, class T> void mix(const char * v, size_t v_stride, int64_t n, int64_t n_channels, const float * weights, int64_t stride, int64_t n_x,
                                     float * y, int64_t y_stride, bool) {
    // behind few positions of a channel lie those that are not there yet, and what is wanted next is the channels behind these
    const int64_t unit = omni::attend_unit, live = (n + unit - 1) / unit * unit;
    const int64_t ahead = live * T::size > 2048 ? 1024 : V::dots / 2 * int64_t(v_stride);
    dots<V, T>(v, v_stride, n_channels, live, ahead, weights, stride, n_x, y, y_stride);
}

// --- values of Q8_0 ---------------------------------------------------------------------------------------------------

constexpr long q8_0_bytes = 34, group = omni::value_group, max_mixed = 4;

// Of each pair of positions as many values of a block as V has registers for, with pairs of whole-number weights.
template <class V, long N> void mix_pairs(const char * v, size_t stride, long n, const int16_t (*q)[group], const float * one, float * y, int64_t y_stride) {
    typename V::vi sum[N][V::blocks];
#pragma GCC unroll 4
    for (long i = 0; i < N; i++) {
#pragma GCC unroll 4
        for (long k = 0; k < V::blocks; k++) {
            sum[i][k] = V::zero_int();
        }
    }
    for (long p = 0; p < n; p += 2) {
        typename V::vv pairs[V::blocks];
        V::pairs(v + size_t(p) * stride, v + size_t(p + 1 < n ? p + 1 : p) * stride, pairs);
#pragma GCC unroll 4
        for (long i = 0; i < N; i++) {
            const auto by = V::spread_pair(q[i] + p);
#pragma GCC unroll 4
            for (long k = 0; k < V::blocks; k++) {
                sum[i][k] = V::add_products(sum[i][k], pairs[k], by);
            }
        }
    }
#pragma GCC unroll 4
    for (long i = 0; i < N; i++) {
        V::add_scaled(y + i * y_stride, sum[i], one[i]);
    }
}

constexpr int64_t blocks_at_once = 4;  // of channels

// One group of positions, some blocks of channels: first all whole numbers, each of which takes its time, then all products.
template <class V> void mix_group(const char * v, size_t stride, long n, long n_blocks, const float * weights, int64_t w_stride, long n_x, float * y,
                                  int64_t y_stride) {
    alignas(64) uint16_t halves[blocks_at_once][group] = {};
    alignas(64) float    scales[group];
    alignas(64) int16_t  q[blocks_at_once][max_mixed][group];
    float one[blocks_at_once][max_mixed];
    for (long p = 0; p < n; p++) {
        const char * row = v + size_t(p) * stride;
        for (long b = 0; b < n_blocks; b++) {
            memcpy(halves[b] + p, row + b * q8_0_bytes, 2);
        }
        for (long at = 0; at < n_blocks * q8_0_bytes; at += 64) {
            V::fetch(row + group * stride + at);
        }
    }
    for (long i0 = 0; i0 < n_x; i0 += max_mixed) {
        const long now = n_x - i0 < max_mixed ? n_x - i0 : max_mixed;
        for (long b = 0; b < n_blocks; b++) {
            V::widen(halves[b], scales);
            for (long i = 0; i < now; i++) {
                one[b][i] = V::whole_numbers(weights + (i0 + i) * w_stride, scales, q[b][i]);
            }
        }
        for (long b = 0; b < n_blocks; b++) {
            for (long e = 0; e < 32; e += V::channels) {
                (now == 1   ? mix_pairs<V, 1>
                 : now == 2 ? mix_pairs<V, 2>
                 : now == 3 ? mix_pairs<V, 3>
                            : mix_pairs<V, 4>)(v + b * q8_0_bytes + 2 + e, stride, n, q[b], one[b], y + i0 * y_stride + b * 32 + e, y_stride);
            }
        }
    }
}

template <class V> void mix_q8_0(const char * v, size_t v_stride, int64_t n, int64_t n_channels, const float * weights, int64_t stride, int64_t n_x, float * y,
                                 int64_t y_stride, bool more) {
    for (int64_t i = 0; i < n_x && !more; i++) {
        for (int64_t e = 0; e < n_channels; e++) {
            y[i * y_stride + e] = 0.0f;
        }
    }
    const int64_t n_blocks = n_channels / 32;
    for (int64_t at = 0; at < n; at += group) {
        for (int64_t b = 0; b < n_blocks; b += blocks_at_once) {
            mix_group<V>(v + size_t(at) * v_stride + b * q8_0_bytes, v_stride, n - at < group ? long(n - at) : group,
                         n_blocks - b < blocks_at_once ? long(n_blocks - b) : blocks_at_once, weights + at, stride, long(n_x), y + b * 32, y_stride);
        }
    }
}

// least_weight as what |c|'s bits say: no number is larger than any.
inline float whole_inverse(uint32_t most, float * one) {
    float top;
    memcpy(&top, &most, sizeof(top));
    *one = top / 32767.0f;
    return top < omni::least_weight ? 0.0f : 32767.0f / top;
}

template <class V> omni::attend_kernel attend_of(int32_t type) {
    switch (type) {
        case GGML_TYPE_F32:  return {type, true, nullptr, nullptr, look<V, of_f32>, mix<V, of_f32>};
        case GGML_TYPE_F16:  return {type, true, nullptr, nullptr, look<V, of_f16>, mix<V, of_f16>};
        case GGML_TYPE_Q8_0: return {type, false, nullptr, nullptr, nullptr, mix_q8_0<V>};
        default:             return {type, false, nullptr, nullptr, nullptr, nullptr};
    }
}

} // namespace
