// Which kernel serves a type here, those for any CPU, and the small rows of numbers between products.
#include "kernels/matvec.h"

#include "kernels/cpu.h"
#include "kernels/panel.h"

#include "ggml-cpu.h"
#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace omni {

namespace {

float half_at(const char * p) {
    ggml_fp16_t v;
    std::memcpy(&v, p, sizeof(v));
    return ggml_fp16_to_fp32(v);
}

// --- any CPU: rows as 8-bit blocks of 32, each its scale and its sum, then its numbers -------------------------------

struct scalar_block {
    float   scale;
    int32_t sum;
    int8_t  q[32];
};

size_t q8_bytes(int32_t, int64_t n_in) { return size_t(n_in / 32) * sizeof(scalar_block); }

void round_block(const float * x, float inverse, scalar_block * to) {
    to->sum = 0;
    for (int i = 0; i < 32; i++) {
        to->q[i] = int8_t(std::lrintf(x[i] * inverse));
        to->sum += to->q[i];
    }
}

void q8_ready(int32_t, const float * x, int64_t n_in, char * out) {
    scalar_block * to = reinterpret_cast<scalar_block *>(out);
    for (int64_t b = 0; b < n_in / 32; b++, x += 32) {
        float top = 0.0f;
        for (int i = 0; i < 32; i++) {
            top = std::max(top, std::fabs(x[i]));
        }
        const float inverse = top > 0.0f ? 127.0f / top : 0.0f;
        to[b].scale = ggml_fp16_to_fp32(ggml_fp32_to_fp16(top / 127.0f));  // a half, in ggml's blocks
        round_block(x, inverse, &to[b]);
    }
}

// One scale for 256 numbers; what lies furthest from zero becomes -127.
void q8_k_ready(int32_t, const float * x, int64_t n_in, char * out) {
    scalar_block * to = reinterpret_cast<scalar_block *>(out);
    for (int64_t s = 0; s < n_in / 256; s++, x += 256) {
        float most = 0.0f;
        for (int i = 0; i < 256; i++) {
            most = std::fabs(x[i]) > std::fabs(most) ? x[i] : most;
        }
        const float inverse = most != 0.0f ? -127.0f / most : 0.0f;
        for (int b = 0; b < 8; b++, to++) {
            to->scale = most != 0.0f ? 1.0f / inverse : 0.0f;
            round_block(x + b * 32, inverse, to);
        }
    }
}

float q8_0_dot(const char * w, const char * x, int64_t n_in) {
    const scalar_block * b = reinterpret_cast<const scalar_block *>(x);
    float total = 0.0f;
    for (int64_t i = 0; i < n_in / 32; i++, w += 34) {
        const int8_t * q = reinterpret_cast<const int8_t *>(w + 2);
        int32_t sum = 0;
        for (int j = 0; j < 32; j++) {
            sum += int32_t(q[j]) * b[i].q[j];
        }
        total += float(sum) * (half_at(w) * b[i].scale);
    }
    return total;
}

float q4_k_dot(const char * w, const char * x, int64_t n_in) {
    const scalar_block * b = reinterpret_cast<const scalar_block *>(x);
    float total = 0.0f;
    for (int64_t s = 0; s < n_in / 256; s++, w += 144) {
        const uint8_t * packed = reinterpret_cast<const uint8_t *>(w + 4);
        const uint8_t * qs     = reinterpret_cast<const uint8_t *>(w + 16);
        for (int k = 0; k < 8; k++, b++) {
            const int scale = k < 4 ? packed[k] & 63 : (packed[k + 4] & 15) | ((packed[k - 4] >> 6) << 4);
            const int least = k < 4 ? packed[k + 4] & 63 : (packed[k + 4] >> 4) | ((packed[k] >> 6) << 4);
            int32_t sum = 0;
            for (int j = 0; j < 32; j++) {
                sum += ((qs[k / 2 * 32 + j] >> (k % 2 * 4)) & 15) * b->q[j];
            }
            total += b->scale * (half_at(w) * float(scale) * float(sum) - half_at(w + 2) * float(least) * float(b->sum));
        }
    }
    return total;
}

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {  // rounded as the weights are
    float * to = reinterpret_cast<float *>(out);
    for (int64_t i = 0; i < n_in; i++) {
        to[i] = type == GGML_TYPE_F16    ? ggml_fp16_to_fp32(ggml_fp32_to_fp16(x[i]))
                : type == GGML_TYPE_BF16 ? ggml_bf16_to_fp32(ggml_fp32_to_bf16(x[i]))
                                         : x[i];
    }
}

float f32_dot(const char * w, const char * x, int64_t n_in) {
    const float * a = reinterpret_cast<const float *>(w), * b = reinterpret_cast<const float *>(x);
    float part[8] = {};
    for (int64_t i = 0; i < n_in; i += 8) {
        for (int j = 0; j < 8; j++) {
            part[j] += a[i + j] * b[i + j];
        }
    }
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

template <void (*WIDEN)(const void *, float *, int64_t)> float half_dot(const char * w, const char * x, int64_t n_in) {
    float total = 0.0f, wide[32];
    for (int64_t i = 0; i < n_in; i += 32) {
        WIDEN(w + i * 2, wide, 32);
        total += f32_dot(reinterpret_cast<const char *>(wide), x + i * 4, 32);
    }
    return total;
}

void widen_f16(const void * w, float * out, int64_t n) { ggml_fp16_to_fp32_row(static_cast<const ggml_fp16_t *>(w), out, n); }
void widen_bf16(const void * w, float * out, int64_t n) { ggml_bf16_to_fp32_row(static_cast<const ggml_bf16_t *>(w), out, n); }

template <float (*DOT)(const char *, const char *, int64_t)>
void dots(int32_t, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, int64_t n_x,
          float * y, int64_t y_stride) {
    for (int64_t r = 0; r < n_rows; r++) {
        for (int64_t i = 0; i < n_x; i++) {
            y[i * y_stride + r] = DOT(w + size_t(r) * w_stride, x + size_t(i) * x_stride, n_in);
        }
    }
}

// --- ggml's own dot product, for the types there is nothing else for -------------------------------------------------

const ggml_type_traits_cpu & traits(int32_t type) { return *ggml_get_type_traits_cpu(ggml_type(type)); }

size_t any_bytes(int32_t type, int64_t n_in) { return (ggml_row_size(traits(type).vec_dot_type, n_in) + 63) / 64 * 64; }

void any_ready(int32_t type, const float * x, int64_t n_in, char * out) {
    const ggml_type to = traits(type).vec_dot_type;
    if (to == GGML_TYPE_F32) {
        std::memcpy(out, x, size_t(n_in) * sizeof(float));
    } else {
        traits(to).from_float(x, out, n_in);
    }
}

void any_multiply(int32_t type, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride,
                  int64_t n_x, float * y, int64_t y_stride) {
    const ggml_vec_dot_t dot = traits(type).vec_dot;
    for (int64_t r = 0; r < n_rows; r++) {
        for (int64_t i = 0; i < n_x; i++) {
            dot(int(n_in), &y[i * y_stride + r], 0, w + size_t(r) * w_stride, 0, x + size_t(i) * x_stride, 0, 1);
        }
    }
}

bool at_least(cpu_variant least) {
    const cpu_variant v = cpu_kernels();
    return v == least || (v != cpu_variant::scalar && v != cpu_variant::neon && v > least);
}

} // namespace

matvec matvec_scalar(int32_t type) {
    switch (type) {
        case GGML_TYPE_Q8_0: return {type, 32, q8_bytes, q8_ready, dots<q8_0_dot>};
        case GGML_TYPE_Q4_K: return {type, 256, q8_bytes, q8_k_ready, dots<q4_k_dot>};
        case GGML_TYPE_F32:  return {type, 32, float_bytes, float_ready, dots<f32_dot>};
        case GGML_TYPE_F16:  return {type, 32, float_bytes, float_ready, dots<half_dot<widen_f16>>};
        case GGML_TYPE_BF16: return {type, 32, float_bytes, float_ready, dots<half_dot<widen_bf16>>};
        default:             return {type, 1, nullptr, nullptr, nullptr};
    }
}

matvec find_matvec(int32_t type, int64_t n_in) {
    matvec m = {type, 1, nullptr, nullptr, nullptr};
    using maker = matvec (*)(int32_t);
    const bool wide = at_least(cpu_variant::avx512), avx2 = at_least(cpu_variant::avx2);
    // Elsewhere ggml's dot products are made for the CPU; ours for any are the twin that a test compares.
    const bool scalar = cpu_kernels() == cpu_variant::scalar;
    const std::pair<bool, maker> makers[] = {{wide, panel_avx512}, {wide, matvec_avx512}, {avx2, panel_avx2},
                                             {avx2, matvec_avx2},  {scalar, panel_scalar}, {scalar, matvec_scalar}};
    for (const auto & [here, make] : makers) {
        if (here && !m.multiply) {
            m = make(type);
        }
    }
    if (m.multiply && n_in % m.unit == 0) {
        return m;
    }
    const ggml_type_traits_cpu * t = ggml_get_type_traits_cpu(ggml_type(type));
    const bool able = t->vec_dot && n_in % ggml_blck_size(ggml_type(type)) == 0 && n_in % ggml_blck_size(t->vec_dot_type) == 0 &&
                      (t->vec_dot_type == GGML_TYPE_F32 || traits(t->vec_dot_type).from_float);
    return able ? matvec{type, 1, any_bytes, any_ready, any_multiply} : matvec{type, 1, nullptr, nullptr, nullptr};
}

void exp_scalar(const float * x, float top, float * out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = std::exp(x[i] - top);
    }
}

static void exp_row(const float * x, float top, float * out, int64_t n) {
    static const bool wide = at_least(cpu_variant::avx2);
    (wide ? exp_avx2 : exp_scalar)(x, top, out, n);
}

void swiglu(const float * gate, const float * up, float * out, int64_t n) {
    float e[64];
    for (int64_t at = 0; at < n; at += 64) {
        const int64_t m = std::min<int64_t>(64, n - at);
        for (int64_t i = 0; i < m; i++) {
            e[i] = -gate[at + i];
        }
        exp_row(e, 0.0f, e, m);
        for (int64_t i = 0; i < m; i++) {
            out[at + i] = gate[at + i] / (1.0f + e[i]) * up[at + i];
        }
    }
}

void rms_norm_row(const float * x, const float * w, float eps, float * out, int64_t n) {
    double part[8] = {};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int j = 0; j < 8; j++) {
            part[j] += double(x[i + j] * x[i + j]);
        }
    }
    for (; i < n; i++) {
        part[0] += double(x[i] * x[i]);
    }
    const double sum = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
    const float scale = 1.0f / std::sqrt(float(sum / double(n)) + eps);
    for (i = 0; i < n; i++) {
        out[i] = x[i] * scale * w[i];
    }
}

void softmax_row(float * x, int64_t n, float scale) {
    float top = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        x[i] *= scale;
        top = std::max(top, x[i]);
    }
    exp_row(x, top, x, n);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += double(x[i]);
    }
    const float inverse = float(1.0 / sum);
    for (int64_t i = 0; i < n; i++) {
        x[i] *= inverse;
    }
}

} // namespace omni
