// Convolutions with all that is fused into them, and the sine alone: near the same in double precision; no bit depends on
// where a stream is cut.
#include "check.h"

#include <algorithm>
#include <cmath>

namespace {

struct shape {
    int64_t n_in, n_taps, n_out, stride, dilation, n_rows;
};

const shape shapes[] = {
    {16, 1, 16, 1, 1, 5}, {1, 7, 19, 1, 1, 40}, {37, 3, 33, 1, 9, 70}, {64, 2, 48, 2, 1, 30}, {19, 7, 1, 1, 1, 41}, {96, 3, 40, 1, 3, 300},
};

double snake(double x, float a, float b) {
    const double s = std::sin(double(a) * x);
    return x + double(b) * s * s;
}

struct layer {
    shape s;
    std::vector<float> w, x, a, b, bias, out_a, out_b, residual;

    explicit layer(const shape & of) : s(of) {
        check::numbers draw(uint64_t(s.n_in * 131 + s.n_out));
        w = draw.row(s.n_out * s.n_taps * s.n_in, 1.0f / std::sqrt(float(s.n_taps * s.n_in)));
        x = draw.row((past() + s.n_rows * s.stride) * s.n_in, 2.0f);
        a = draw.row(s.n_in, 3.0f), b = draw.row(s.n_in);
        bias = draw.row(s.n_out), out_a = draw.row(s.n_out, 3.0f), out_b = draw.row(s.n_out);
        residual = draw.row(s.n_rows * s.n_out);
    }
    int64_t past() const { return (s.n_taps - 1) * s.dilation; }

    // Output rows [from, to), as a call that was given just the rows for them: the ones before go by without a snake, so
    // they have been through it already.
    std::vector<float> compute(const omni::conv_kernels * kernels, const std::vector<float> & done, int64_t from, int64_t to) const {
        const omni::conv_panels panels(kernels, w.data(), s.n_in, s.n_taps, s.n_out,
                                       [&](int64_t o, int64_t k) { return (o * s.n_taps + k) * s.n_in; });
        omni::conv_run r;
        r.w = &panels;
        r.past = done.data() + from * s.stride * s.n_in;
        r.n_past = past();
        r.x = x.data() + (past() + from * s.stride) * s.n_in;
        r.n_rows = (to - from) * s.stride;
        r.stride = s.stride;
        r.dilation = s.dilation;
        r.snake_in = {a.data(), b.data()};
        r.bias = bias.data();
        r.n_bias = s.n_out;
        r.snake_out = {out_a.data(), out_b.data()};
        r.residual = residual.data() + from * s.n_out;
        std::vector<float> out(size_t((to - from) * s.n_out), -7.0f);
        r.out = out.data();
        r.n_out_rows = to - from;
        std::vector<float> scratch(size_t(omni::conv_scratch_floats(r)));
        omni::conv_counter counter;
        omni::conv_compute(r, scratch.data(), counter, 0, 1);
        return out;
    }

    double expected(int64_t t, int64_t o) const {
        double sum = double(bias[o]);
        for (int64_t k = 0; k < s.n_taps; k++) {
            for (int64_t i = 0; i < s.n_in; i++) {
                const float v = x[(t * s.stride + k * s.dilation) * s.n_in + i];
                sum += double(w[(o * s.n_taps + k) * s.n_in + i]) * snake(double(v), a[i], b[i]);
            }
        }
        return snake(sum, out_a[o], out_b[o]) + double(residual[t * s.n_out + o]);
    }
};

void sines(const check::level & l, const omni::conv_kernels * kernels) {
    // x is so small that x + sin^2(a x) is the square to its last bit, and a x is exact
    const float tiny = std::ldexp(1.0f, -60);
    std::vector<float> angle;
    for (float v = 1e-3f; v < 1e4f; v *= 1.0037f) {
        angle.push_back(v);
        angle.push_back(-v);
    }
    for (int k = 1; k < 400; k++) {
        angle.push_back(float(k * 1.5707963267948966));
    }
    const std::vector<float> x(angle.size(), tiny), b(angle.size(), 1.0f);
    std::vector<float> a, y(angle.size());
    for (float v : angle) {
        a.push_back(std::ldexp(v, 60));
    }
    kernels->snake_row(y.data(), x.data(), a.data(), b.data(), int64_t(y.size()));
    for (size_t i = 0; i < y.size(); i++) {
        const double s = std::sin(double(angle[i]));
        check::holds(std::fabs(double(y[i]) - s * s) < 1e-7 && y[i] <= 1.0f, "%s, sin(%g)^2: %.9g, expected %.9g", l.name, double(angle[i]),
                     double(y[i]), s * s);
    }
}

} // namespace

void check::convolutions(const level & l) {
    holds(l.conv != nullptr, "%s has no convolutions", l.name);
    if (!l.conv) {
        return;
    }
    sines(l, l.conv);
    for (const shape & s : shapes) {
        const layer at(s);
        const omni::conv_kernels * kernels = s.n_out == 1 ? l.conv->narrow : l.conv;
        std::vector<float> done(at.x.size());
        for (size_t row = 0; row < done.size() / size_t(s.n_in); row++) {
            l.conv->snake_row(&done[row * s.n_in], &at.x[row * s.n_in], at.a.data(), at.b.data(), s.n_in);
        }
        const std::vector<float> whole = at.compute(kernels, done, 0, s.n_rows);
        for (int64_t t = 0; t < s.n_rows; t++) {
            for (int64_t o = 0; o < s.n_out; o++) {
                const double expected = at.expected(t, o), got = double(whole[t * s.n_out + o]);
                holds(std::fabs(got - expected) < 3e-6 * std::fmax(1.0, std::fabs(expected)), "%s, %lld channels to %lld: %g, expected %g",
                      l.name, (long long) s.n_in, (long long) s.n_out, got, expected);
            }
        }
        std::vector<float> parts;
        for (int64_t from = 0, n = 1; from < s.n_rows; from += n, n = n % 7 + 1) {
            const std::vector<float> part = at.compute(kernels, done, from, std::min(s.n_rows, from + n));
            parts.insert(parts.end(), part.begin(), part.end());
        }
        holds(same_bits(parts, whole), "%s, %lld channels to %lld: other bits in pieces", l.name, (long long) s.n_in, (long long) s.n_out);
    }
}
