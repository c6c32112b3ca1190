// Few-row products with floats on NEON.
#include "kernels/matvec.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include "kernels/matvec_rows.h"

#include "ggml.h"

#include <arm_neon.h>

namespace omni {

namespace {

constexpr int64_t ahead = 2048;  // bytes that are fetched before they are needed

// --- floats: the row is rounded as the weights are, and stays F32 ----------------------------------------------------

size_t float_bytes(int32_t, int64_t n_in) { return size_t(n_in) * sizeof(float); }

inline float32x4_t bf16(float32x4_t v) {  // to the nearest, of two to the even
    const uint32x4_t bits = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vreinterpretq_f32_u32(vandq_u32(up, vdupq_n_u32(0xffff0000u)));
}

void float_ready(int32_t type, const float * x, int64_t n_in, char * out) {
    float * to = reinterpret_cast<float *>(out);
    for (int64_t i = 0; i < n_in; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        vst1q_f32(to + i, type == GGML_TYPE_F16 ? vcvt_f32_f16(vcvt_f16_f32(v)) : type == GGML_TYPE_BF16 ? bf16(v) : v);
    }
}

template <int TYPE> inline void load_8(const char * w, float32x4_t * a, float32x4_t * b) {
    if (TYPE == GGML_TYPE_F32) {
        *a = vld1q_f32(reinterpret_cast<const float *>(w));
        *b = vld1q_f32(reinterpret_cast<const float *>(w) + 4);
    } else {
        const uint16x8_t v = vld1q_u16(reinterpret_cast<const uint16_t *>(w));
        if (TYPE == GGML_TYPE_BF16) {
            *a = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(v), 16));
            *b = vreinterpretq_f32_u32(vshll_high_n_u16(v, 16));
        } else {
            *a = vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_u16(v)));
            *b = vcvt_high_f32_f16(vreinterpretq_f16_u16(v));
        }
    }
}

template <int N, int TYPE>
void float_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride) {
    const size_t step = TYPE == GGML_TYPE_F32 ? 128 : 64;
    const int64_t bytes = n_in / 32 * int64_t(step);  // short rows need not lie close together: keys of one head do not
    const int64_t next  = bytes < ahead ? ahead / bytes * int64_t(w_stride) : ahead;
    for (int64_t r = 0; r < n_rows; r++) {
        const char * row = w + size_t(r) * w_stride;
        float32x4_t acc[N][8];
        for (int i = 0; i < N; i++) {
            for (int k = 0; k < 8; k++) {
                acc[i][k] = vdupq_n_f32(0.0f);
            }
        }
        for (int64_t b = 0; b < n_in / 32; b++, row += step) {
            __builtin_prefetch(row + next);
            for (int k = 0; k < 4; k++) {
                float32x4_t wa, wb;
                load_8<TYPE>(row + size_t(k) * step / 4, &wa, &wb);
                for (int i = 0; i < N; i++) {
                    const float * xi = reinterpret_cast<const float *>(x + size_t(i) * x_stride) + b * 32 + k * 8;
                    acc[i][2 * k]     = vfmaq_f32(acc[i][2 * k], wa, vld1q_f32(xi));
                    acc[i][2 * k + 1] = vfmaq_f32(acc[i][2 * k + 1], wb, vld1q_f32(xi + 4));
                }
            }
        }
        for (int i = 0; i < N; i++) {
            for (int half = 4; half > 0; half /= 2) {
                for (int k = 0; k < half; k++) {
                    acc[i][k] = vaddq_f32(acc[i][k], acc[i][k + half]);
                }
            }
            y[i * y_stride + r] = vaddvq_f32(acc[i][0]);
        }
    }
}

template <int TYPE>
void float_multiply(int32_t, const char * w, size_t ws, int64_t n, int64_t n_in, const char * x, size_t xs, int64_t n_x, float * y, int64_t ys) {
    static constexpr rows_fn by_n[] = {float_rows<1, TYPE>, float_rows<2, TYPE>};
    in_groups(by_n, w, ws, n, n_in, x, xs, n_x, y, ys);
}

} // namespace

matvec matvec_neon(int32_t type) {
    switch (type) {
        case GGML_TYPE_F32:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F32>};
        case GGML_TYPE_F16:  return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_F16>};
        case GGML_TYPE_BF16: return {type, 32, float_bytes, float_ready, float_multiply<GGML_TYPE_BF16>};
        default:             return {type, 1, nullptr, nullptr, nullptr};
    }
}

// exp as in matvec_avx2.cpp.
static float32x4_t exp_of(float32x4_t x) {
    const float32x4_t most = vdupq_n_f32(88.3762589f), least = vdupq_n_f32(-87.3365402f);
    const uint32x4_t over = vcgtq_f32(x, vdupq_n_f32(88.7228394f)), none = vcltq_f32(x, least), number = vceqq_f32(x, x);
    const float32x4_t v = vmaxq_f32(vminq_f32(x, most), least);
    const float32x4_t n = vrndnq_f32(vmulq_f32(v, vdupq_n_f32(1.44269504f)));
    float32x4_t r = vfmsq_f32(v, n, vdupq_n_f32(0.693359375f));
    r = vfmsq_f32(r, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
    p = vfmaq_f32(vaddq_f32(r, vdupq_n_f32(1.0f)), p, vmulq_f32(r, r));
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23);
    float32x4_t y = vmulq_f32(p, vreinterpretq_f32_s32(power));
    y = vbslq_f32(none, vdupq_n_f32(0.0f), y);
    y = vbslq_f32(over, vdupq_n_f32(__builtin_inff()), y);
    return vbslq_f32(number, y, x);
}

void exp_neon(const float * x, float top, float * out, int64_t n) {
    const float32x4_t t = vdupq_n_f32(top);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(out + i, exp_of(vsubq_f32(vld1q_f32(x + i), t)));
    }
    float rest[4] = {};
    for (int64_t k = i; k < n; k++) {
        rest[k - i] = x[k];
    }
    vst1q_f32(rest, exp_of(vsubq_f32(vld1q_f32(rest), t)));
    for (int64_t k = i; k < n; k++) {
        out[k] = rest[k - i];
    }
}

} // namespace omni
#else
namespace omni {
matvec matvec_neon(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
void exp_neon(const float * x, float top, float * out, int64_t n) { exp_scalar(x, top, out, n); }
} // namespace omni
#endif
