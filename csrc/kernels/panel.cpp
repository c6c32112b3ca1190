// Panels' formats, and the product as it is defined, number by number: what every instruction set is held against.
#include "kernels/panel.h"

#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace omni {

const float no_number = std::numeric_limits<float>::quiet_NaN();

panel_format panel_format_of(int32_t type) {
    switch (type) {
        case GGML_TYPE_Q8_0:   return {32, 32, 0, true, false};
        case GGML_TYPE_IQ4_NL: return {32, 32, 0, true, false};
        case GGML_TYPE_Q4_0:   return {32, 32, 8, false, false};
        case GGML_TYPE_Q4_K:   return {256, 32, 0, false, true};
        case GGML_TYPE_Q5_K:   return {256, 32, 0, false, true};
        case GGML_TYPE_Q6_K:   return {256, 16, 32, false, false};
        default:               return {};
    }
}

namespace {

float half_at(const uint8_t * p) {
    ggml_fp16_t v;
    std::memcpy(&v, p, sizeof(v));
    return ggml_fp16_to_fp32(v);
}

// A unit of weights as numbers, already less their zero, with the scales and minima of its blocks.
struct unit {
    int   q[256];
    float scale[16] = {}, least[8] = {};
};

void unpack_32(int32_t type, const uint8_t * w, unit * to) {
    static const int table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    to->scale[0] = half_at(w);
    for (int i = 0; i < 32; i++) {
        const int nibble = w[2 + i % 16] >> (i / 16 * 4) & 15;
        to->q[i] = type == GGML_TYPE_Q8_0 ? int8_t(w[2 + i]) : type == GGML_TYPE_Q4_0 ? nibble - 8 : table[nibble];
    }
}

void unpack_q45_k(bool five, const uint8_t * w, unit * to) {
    const uint8_t * packed = w + 4, * high = w + 16, * qs = w + (five ? 48 : 16);
    for (int b = 0; b < 8; b++) {
        const int scale = b < 4 ? packed[b] & 63 : (packed[b + 4] & 15) | ((packed[b - 4] >> 6) << 4);
        const int least = b < 4 ? packed[b + 4] & 63 : (packed[b + 4] >> 4) | ((packed[b] >> 6) << 4);
        to->scale[b] = half_at(w) * float(scale);
        to->least[b] = half_at(w + 2) * float(least);
        for (int i = 0; i < 32; i++) {
            to->q[b * 32 + i] = (qs[b / 2 * 32 + i] >> (b % 2 * 4) & 15) + (five ? (high[i] >> b & 1) * 16 : 0);
        }
    }
}

void unpack_q6_k(const uint8_t * w, unit * to) {
    for (int b = 0; b < 16; b++) {
        to->scale[b] = half_at(w + 208) * float(int8_t(w[192 + b]));
    }
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, quarter = i / 32 % 4, l = i % 32;
        const int low = w[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
        to->q[i] = (low | (w[128 + half * 32 + l] >> (2 * quarter) & 3) << 4) - 32;
    }
}

struct ready_block {
    float scale, sum;  // and minus scale times the sum of its numbers
};

size_t form_bytes(int32_t type, int64_t n_in) {
    return (size_t(n_in) + 63) / 64 * 64 + size_t(n_in / panel_format_of(type).block) * sizeof(ready_block);
}

ready_block * blocks_of(char * form, int64_t n_in) { return reinterpret_cast<ready_block *>(form + (n_in + 63) / 64 * 64); }

void ready(int32_t type, const float * x, int64_t n_in, char * out) {
    const panel_format f = panel_format_of(type);
    ready_block * to = blocks_of(out, n_in);
    for (int64_t u = 0; u < n_in; u += f.unit) {
        float most = 0.0f;
        for (int64_t i = u; i < u + f.unit; i++) {
            most = std::fabs(x[i]) > std::fabs(most) ? x[i] : most;
        }
        const bool  none  = std::any_of(x + u, x + u + f.unit, [](float v) { return std::isnan(v); });
        most = none ? 0.0f : most;
        const bool  plain = f.unit == 32;  // else what lies furthest from zero becomes -127
        const float top = plain ? std::fabs(most) : most, inverse = top == 0.0f ? 0.0f : (plain ? 127.0f : -127.0f) / top;
        const float scale = none ? no_number : plain ? ggml_fp16_to_fp32(ggml_fp32_to_fp16(top / 127.0f)) : top == 0.0f ? 0.0f : 1.0f / inverse;
        for (int64_t b = u; b < u + f.unit; b += f.block) {
            int sum = 0;
            for (int64_t i = b; i < b + f.block; i++) {
                const float v = x[i] * inverse;
                out[i] = char(int8_t(std::lrintf(v > -127.0f ? std::min(v, 127.0f) : -127.0f)));  // of what is no number: -127
                sum += int8_t(out[i]);
            }
            *to++ = {scale, -scale * float(sum)};
        }
    }
}

void multiply(int32_t type, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, int64_t n_x,
              float * y, int64_t y_stride) {
    const panel_format f = panel_format_of(type);
    const size_t unit_bytes = ggml_row_size(ggml_type(type), f.unit);
    std::vector<unit> row(size_t(n_in / f.unit));
    for (int64_t r = 0; r < n_rows; r++) {
        for (size_t u = 0; u < row.size(); u++) {
            const uint8_t * at = reinterpret_cast<const uint8_t *>(w) + size_t(r) * w_stride + u * unit_bytes;
            f.unit == 32 ? unpack_32(type, at, &row[u]) : type == GGML_TYPE_Q6_K ? unpack_q6_k(at, &row[u])
                                                                                 : unpack_q45_k(type == GGML_TYPE_Q5_K, at, &row[u]);
        }
        for (int64_t i = 0; i < n_x; i++) {
            const char * q = x + size_t(i) * x_stride;
            const ready_block * of = blocks_of(const_cast<char *>(q), n_in);
            float total = 0.0f;
            for (const unit & u : row) {
                for (int b = 0; b < f.unit / f.block; b++, of++, q += f.block) {
                    int sum = 0;
                    for (int k = 0; k < f.block; k++) {
                        sum += u.q[b * f.block + k] * int8_t(q[k]);
                    }
                    total = std::fma(float(sum), u.scale[b] * of->scale, total);
                    total = f.minima ? std::fma(u.least[b], of->sum, total) : total;
                }
            }
            y[i * y_stride + r] = total;
        }
    }
}

} // namespace

matvec panel_scalar(int32_t type) {
    const panel_format f = panel_format_of(type);
    matvec m = {type, 1, nullptr, nullptr, nullptr};
    if (f.unit) {
        m = {type, f.unit, form_bytes, ready, multiply};
        m.lanes = 1;
    }
    return m;
}

} // namespace omni
