// Which attention kernel serves a cache here, the one for any CPU, number by number as it is defined, and the weights.
#include "kernels/attend.h"

#include "kernels/cpu.h"
#include "kernels/fused.h"
#include "kernels/matvec.h"

#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni {

namespace {

constexpr int64_t q8_0_bytes = 34;

float sum_of(const float * p) {
    float s[4];
    for (int j = 0; j < 4; j++) {
        s[j] = (p[j] + p[j + 8]) + (p[j + 4] + p[j + 12]);
    }
    return (s[0] + s[2]) + (s[1] + s[3]);
}

size_t float_bytes(int32_t, int64_t n) { return size_t(n) * sizeof(float); }
void float_ready(int32_t, const float * q, int64_t n, char * out) { std::memcpy(out, q, size_t(n) * sizeof(float)); }

template <int TYPE> void dots(const char * w, size_t w_stride, int64_t n_rows, int64_t n, const float * x, int64_t x_stride, int64_t n_x, float * y,
                              int64_t y_stride) {
    float wide[attend_block];
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        for (int64_t i = 0; i < n_x; i++) {
            float part[16] = {};
            for (int64_t at = 0; at < n; at += attend_block) {
                const int64_t m = std::min(attend_block, n - at);
                if (TYPE == GGML_TYPE_F16) {
                    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t *>(row) + at, wide, m);
                } else {
                    std::copy_n(reinterpret_cast<const float *>(row) + at, m, wide);
                }
                for (int64_t k = 0; k < m; k += 16) {
                    for (int64_t j = 0; j < 16; j++) {
                        part[j] = fused(wide[k + j], x[i * x_stride + at + k + j], part[j]);
                    }
                }
            }
            y[i * y_stride + r] = sum_of(part);
        }
    }
}

template <int TYPE> void look(int32_t, const char * k, size_t k_stride, int64_t n, int64_t head_dim, const char * x, size_t x_stride, int64_t n_x,
                              float * scores, int64_t stride) {
    dots<TYPE>(k, k_stride, n, head_dim, reinterpret_cast<const float *>(x), int64_t(x_stride / sizeof(float)), n_x, scores, stride);
}

template <int TYPE> void mix(const char * v, size_t v_stride, int64_t n, int64_t n_channels, const float * weights, int64_t stride, int64_t n_x, float * y,
                             int64_t y_stride, bool) {
    dots<TYPE>(v, v_stride, n_channels, (n + attend_unit - 1) / attend_unit * attend_unit, weights, stride, n_x, y, y_stride);
}

float half_at(const char * p) {
    ggml_fp16_t v;
    std::memcpy(&v, p, sizeof(v));
    return ggml_fp16_to_fp32(v);
}

// The weights of one group times their positions' scales, as whole numbers; returns what one of them stands for.
float whole_numbers(const float * c, int64_t n, int32_t * q) {
    uint32_t most = 0;  // compared as bits, so that what is no number is the largest
    for (int64_t p = 0; p < n; p++) {
        uint32_t bits;
        std::memcpy(&bits, c + p, sizeof(bits));
        most = std::max(most, bits & 0x7fffffffu);
    }
    float top;
    std::memcpy(&top, &most, sizeof(top));
    const float inverse = top < least_weight ? 0.0f : 32767.0f / top;
    for (int64_t p = 0; p < n; p++) {
        const float v = c[p] * inverse;
        q[p] = v > -32768.0f && v < 32768.0f ? int32_t(std::lrintf(v)) : -32768;
    }
    return top / 32767.0f;
}

void mix_q8_0(const char * v, size_t v_stride, int64_t n, int64_t n_channels, const float * weights, int64_t stride, int64_t n_x, float * y,
              int64_t y_stride, bool more) {
    for (int64_t i = 0; i < n_x; i++) {
        for (int64_t b = 0; b < n_channels / 32; b++) {
            float * to = y + i * y_stride + b * 32;
            std::fill_n(to, more ? 0 : 32, 0.0f);
            for (int64_t at = 0; at < n; at += value_group) {
                const int64_t m = std::min(value_group, n - at);
                const char * row = v + size_t(at) * v_stride + b * q8_0_bytes;
                float   c[value_group];
                int32_t q[value_group], sum[32] = {};
                for (int64_t p = 0; p < m; p++) {
                    c[p] = weights[i * stride + at + p] * half_at(row + size_t(p) * v_stride);
                }
                const float one = whole_numbers(c, m, q);
                for (int64_t p = 0; p < m; p++) {
                    for (int64_t e = 0; e < 32; e++) {
                        sum[e] += q[p] * int32_t(int8_t(row[int64_t(size_t(p) * v_stride) + 2 + e]));
                    }
                }
                for (int64_t e = 0; e < 32; e++) {
                    to[e] = fused(float(sum[e]), one, to[e]);
                }
            }
        }
    }
}

} // namespace

attend_kernel attend_scalar(int32_t type) {
    switch (type) {
        case GGML_TYPE_F32:  return {type, true, float_bytes, float_ready, look<GGML_TYPE_F32>, mix<GGML_TYPE_F32>};
        case GGML_TYPE_F16:  return {type, true, float_bytes, float_ready, look<GGML_TYPE_F16>, mix<GGML_TYPE_F16>};
        case GGML_TYPE_Q8_0: return {type, false, nullptr, nullptr, nullptr, mix_q8_0};
        default:             return {type, false, nullptr, nullptr, nullptr, nullptr};
    }
}

attend_kernel find_attend(int32_t type, int64_t head_dim) {
    attend_kernel a = attend_scalar(type);
    const auto best = cpu_at_least(cpu_variant::avx512) ? attend_avx512
                      : cpu_at_least(cpu_variant::avx2) ? attend_avx2
                      : cpu_at_least(cpu_variant::neon) ? attend_neon
                                                        : attend_scalar;
    const attend_kernel here = best(type);
    a.mix  = here.mix ? here.mix : a.mix;
    a.look = here.look ? here.look : a.look;
    if (type == GGML_TYPE_Q8_0) {
        const matvec m = find_matvec(type, head_dim);
        a.ready_bytes = m.ready_bytes;
        a.ready       = m.ready;
        a.look        = m.multiply;
    }
    return head_dim % 32 == 0 ? a : attend_kernel{type, false, nullptr, nullptr, nullptr, nullptr};
}

void weigh_block(float * x, int64_t n, float * top, float * sum) {
    float most[16], part[16] = {};
    std::fill_n(most, 16, -INFINITY);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 1  // else GCC takes it apart first, and then finds no vectors in it
        for (int64_t j = 0; j < 16; j++) {
            most[j] = most[j] < x[i + j] ? x[i + j] : most[j];
        }
    }
    for (; i < n; i++) {
        most[0] = most[0] < x[i] ? x[i] : most[0];
    }
    *top = *std::max_element(most, most + 16);
    exp_row(x, *top == -INFINITY ? 0.0f : *top, x, n);
    for (i = 0; i + 16 <= n; i += 16) {
        for (int64_t j = 0; j < 16; j++) {
            part[j] += x[i + j];
        }
    }
    for (int64_t j = 0; i < n; i++, j++) {
        part[j] += x[i];
    }
    *sum = sum_of(part);
}

void weigh_row(const float * x, int64_t n, const float * tops, const float * sums, float * out, int64_t n_out) {
    const int64_t n_blocks = (n + attend_block - 1) / attend_block;
    const float top = *std::max_element(tops, tops + n_blocks);
    exp_row(tops, top, out, n_blocks);  // the factors lie where weights will, so that the last block goes first
    double sum = 0.0;
    for (int64_t b = 0; b < n_blocks; b++) {
        sum += double(out[b]) * double(sums[b]);
    }
    for (int64_t b = n_blocks - 1; b >= 0; b--) {
        const float factor = float(double(out[b]) / sum);
        const int64_t end = std::min(n, (b + 1) * attend_block);
        for (int64_t i = b * attend_block; i < end; i++) {
            out[i] = x[i] * factor;
        }
    }
    std::fill(out + n, out + n_out, 0.0f);
}

} // namespace omni
