// Which kernel serves a type here, those for any CPU, and the small rows of numbers between products.
#include "kernels/matvec.h"

#include "core/backends.h"
#include "kernels/cpu.h"
#include "kernels/panel.h"

#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace omni {

namespace {

// --- any CPU: floats, the row rounded as the weights are -------------------------------------------------------------

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {
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

const ggml_type_traits_cpu & traits(int32_t type) { return cpu_traits(ggml_type(type)); }

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
    return ggml_matvec(type, n_in);
}

matvec ggml_matvec(int32_t type, int64_t n_in) {
    const ggml_type_traits_cpu * t = &traits(type);
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
