// Products with weights in floats, and exp: near the same in double precision, no bit of a product depends on the number of
// rows, and exp has the bits of the scalar twin.
#include "check.h"

#include "ggml.h"

#include <cmath>
#include <limits>

namespace {

float rounded(ggml_type type, float v) {
    return type == GGML_TYPE_F16    ? ggml_fp16_to_fp32(ggml_fp32_to_fp16(v))
           : type == GGML_TYPE_BF16 ? ggml_bf16_to_fp32(ggml_fp32_to_bf16(v))
                                    : v;
}

void put(ggml_type type, char * to, float v) {
    if (type == GGML_TYPE_F32) {
        std::memcpy(to, &v, sizeof(v));
        return;
    }
    const ggml_fp16_t half = ggml_fp32_to_fp16(v);
    const ggml_bf16_t brain = ggml_fp32_to_bf16(v);
    std::memcpy(to, type == GGML_TYPE_F16 ? static_cast<const void *>(&half) : &brain, 2);
}

void products(const check::level & l, ggml_type type, int64_t n_in) {
    const omni::matvec m = l.floats(type);
    check::holds(m.multiply != nullptr, "%s has nothing for %s", l.name, ggml_type_name(type));
    if (!m.multiply) {
        return;
    }
    const int64_t n_rows = 9, most = 6;
    check::numbers draw(uint64_t(n_in) * 31 + uint64_t(type));
    const std::vector<float> weights = draw.row(n_rows * n_in), x = draw.row(most * n_in);
    const size_t stride = ggml_row_size(type, n_in), form = (m.ready_bytes(type, n_in) + 63) / 64 * 64;
    std::vector<char> w(stride * n_rows), ready(form * most);
    for (int64_t i = 0; i < n_rows * n_in; i++) {
        put(type, w.data() + size_t(i) * ggml_type_size(type), weights[i]);
    }
    for (int64_t i = 0; i < most; i++) {
        m.ready(type, x.data() + i * n_in, n_in, ready.data() + size_t(i) * form);
    }
    std::vector<float> all(most * n_rows);
    m.multiply(type, w.data(), stride, n_rows, n_in, ready.data(), form, most, all.data(), n_rows);
    for (int64_t i = 0; i < most; i++) {
        for (int64_t r = 0; r < n_rows; r++) {
            double sum = 0.0, size = 0.0;
            for (int64_t k = 0; k < n_in; k++) {
                const double term = double(rounded(type, weights[r * n_in + k])) * double(rounded(type, x[i * n_in + k]));
                sum += term;
                size += std::fabs(term);
            }
            check::holds(std::fabs(double(all[i * n_rows + r]) - sum) <= 1e-6 * size, "%s, %s, %lld numbers: %g, expected %g", l.name,
                         ggml_type_name(type), (long long) n_in, double(all[i * n_rows + r]), sum);
        }
    }
    for (int64_t n_x = 1; n_x < most; n_x++) {
        std::vector<float> y(n_x * (n_rows - 2));
        m.multiply(type, w.data() + 2 * stride, stride, n_rows - 2, n_in, ready.data(), form, n_x, y.data(), n_rows - 2);
        std::vector<float> expected;
        for (int64_t i = 0; i < n_x; i++) {
            expected.insert(expected.end(), all.begin() + i * n_rows + 2, all.begin() + (i + 1) * n_rows);
        }
        check::holds(check::same_bits(y, expected), "%s, %s, %lld rows of x: other bits than of %lld", l.name, ggml_type_name(type),
                     (long long) n_x, (long long) most);
    }
}

void exponentials(const check::level & l) {
    std::vector<float> x;
    for (float v = -87.0f; v < 88.0f; v += 0.0371f) {
        x.push_back(v);
    }
    const size_t n_plain = x.size();
    const float inf = std::numeric_limits<float>::infinity();
    x.insert(x.end(), {-inf, -200.0f, 89.0f, inf, std::numeric_limits<float>::quiet_NaN(), 0.0f});
    std::vector<float> y(x.size());
    l.exp(x.data(), 0.0f, y.data(), int64_t(x.size()));
    std::vector<float> twin(x.size());
    omni::exp_scalar(x.data(), 0.0f, twin.data(), int64_t(x.size()));
    check::holds(check::same_bits(y, twin), "%s, exp: not the bits of the scalar twin", l.name);
    for (size_t i = 0; i < n_plain; i++) {
        const double expected = std::exp(double(x[i]));
        check::holds(std::fabs(double(y[i]) - expected) <= 2.4e-7 * expected, "%s, exp(%g): %g", l.name, double(x[i]), double(y[i]));
    }
    const float * last = y.data() + n_plain;
    check::holds(last[0] == 0.0f && last[1] == 0.0f && last[2] == inf && last[3] == inf && last[4] != last[4] && last[5] == 1.0f,
                 "%s, exp at its ends: %g %g %g %g %g %g", l.name, double(last[0]), double(last[1]), double(last[2]), double(last[3]),
                 double(last[4]), double(last[5]));
}

} // namespace

void check::floats(const level & l) {
    for (ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16}) {
        for (int64_t n_in : {32, 96, 1024}) {
            products(l, type, n_in);
        }
    }
    exponentials(l);
}
