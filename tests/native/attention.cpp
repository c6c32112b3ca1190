// Attention's products: the bits of the scalar twin, for any number of queries, positions and strides, what is no number
// included; and near the same in double precision.
#include "check.h"

#include "kernels/attend.h"

#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

constexpr int64_t most = 9;  // queries
constexpr int64_t apart = 5;  // numbers between rows of x and of y that belong to none

// A cache: rows of numbers, further apart than they are long.
struct cache {
    ggml_type type;
    int64_t n;          // numbers of a row
    size_t stride;
    std::vector<char> bytes;  // to the last row's end and no further

    cache(ggml_type type, const std::vector<float> & x, int64_t n, size_t gap)
        : type(type), n(n), stride(ggml_row_size(type, n) + gap), bytes(stride * (x.size() / size_t(n)) - gap, char(0x7c)) {
        for (int64_t r = 0; r < int64_t(x.size()) / n; r++) {
            const float * from = x.data() + r * n;
            char * to = bytes.data() + size_t(r) * stride;
            switch (type) {
                case GGML_TYPE_F32: std::memcpy(to, from, size_t(n) * sizeof(float)); break;
                case GGML_TYPE_F16: ggml_fp32_to_fp16_row(from, reinterpret_cast<ggml_fp16_t *>(to), n); break;
                default:            ggml_quantize_chunk(type, from, to, 0, 1, n, nullptr); break;
            }
        }
    }
    const char * row(int64_t r) const { return bytes.data() + size_t(r) * stride; }
    char * scale(int64_t r, int64_t block) { return bytes.data() + size_t(r) * stride + size_t(block) * ggml_type_size(type); }
    std::vector<float> numbers(int64_t r) const {
        std::vector<float> x(size_t(n), 0.0f);
        if (type == GGML_TYPE_F32) {
            std::memcpy(x.data(), row(r), size_t(n) * sizeof(float));
        } else {
            ggml_get_type_traits(type)->to_float(row(r), x.data(), n);
        }
        return x;
    }
};

// Products of all rows of a cache with the first n_x of x, and what lies around them in y.
struct product {
    const omni::attend_kernel & kernel;
    const cache & c;
    const std::vector<float> & x;  // most rows of them

    int64_t x_stride() const { return int64_t(x.size()) / most; }
    int64_t n_rows() const { return int64_t((c.bytes.size() + c.stride - 1) / c.stride); }

    std::vector<float> look(int64_t n_x) const {
        const int64_t stride = n_rows() + apart;
        std::vector<float> y(size_t(n_x * stride), -7.0f);
        std::vector<char> ready(size_t(n_x * x_stride()) * sizeof(float));
        std::memcpy(ready.data(), x.data(), ready.size());
        kernel.look(kernel.type, c.bytes.data(), c.stride, n_rows(), c.n, ready.data(), size_t(x_stride()) * sizeof(float), n_x, y.data(), stride);
        return y;
    }
    // Of n positions; values by position go by in calls of at_once.
    std::vector<float> mix(int64_t n_x, int64_t n, int64_t at_once) const {
        const int64_t n_channels = kernel.by_channel ? n_rows() : c.n, stride = n_channels + apart;
        std::vector<float> y(size_t(n_x * stride), -7.0f);
        for (int64_t at = 0; at < n; at += at_once) {
            kernel.mix(kernel.by_channel ? c.bytes.data() : c.row(at), c.stride, std::min(at_once, n - at), n_channels, x.data() + at, x_stride(), n_x,
                       y.data(), stride, at > 0);
        }
        return y;
    }
};

// Queries, or weights of n positions with zeros behind them to a multiple of a group.
std::vector<float> queries(check::numbers & draw, int64_t n, int64_t width) {
    std::vector<float> x = draw.row(most * (width + apart), 2.0f);
    for (int64_t i = 0; i < most; i++) {
        std::fill_n(x.begin() + i * (width + apart) + n, width - n, 0.0f);
    }
    return x;
}

std::vector<float> first(const std::vector<float> & all, int64_t n_x) { return {all.begin(), all.begin() + int64_t(all.size()) / most * n_x}; }

enum class with { numbers, zeros, tiny, infinity, nan };
const char * const with_names[] = {"numbers", "zeros", "tiny numbers", "an infinity", "what is no number"};

// Two numbers of some row, or all.
void spoil(std::vector<float> & x, int64_t n, with what) {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const size_t at = size_t(x.size() / size_t(n) / 2 * size_t(n));
    switch (what) {
        case with::numbers:  break;
        case with::zeros:    std::fill(x.begin(), x.end(), 0.0f); break;
        case with::tiny:     for (float & v : x) { v *= 1e-37f; } break;
        case with::infinity: x[at + 1] = -inf; x[at + 9] = inf; break;
        case with::nan:      x[at + 2] = nan; break;
    }
}

void scores(const check::level & l, ggml_type type) {
    const omni::attend_kernel ours = l.attend(type), twin = omni::attend_scalar(type);
    for (int64_t head_dim : {32, 64, 96, 128}) {
        for (int64_t n : {1, 2, 3, 5, 16, 17, 37}) {
            check::numbers draw(uint64_t(type) * 10007 + uint64_t(head_dim * 131 + n));
            const std::vector<float> keys = draw.row(n * head_dim, 2.0f), x = queries(draw, head_dim, head_dim);
            for (with what : {with::numbers, with::zeros, with::tiny, with::infinity, with::nan}) {
                std::vector<float> spoilt = keys;
                spoil(spoilt, head_dim, what);
                const cache c(type, spoilt, head_dim, size_t(n % 3) * ggml_row_size(type, head_dim));
                const product mine = {ours, c, x}, right = {twin, c, x};
                const std::vector<float> all = right.look(most);
                for (int64_t n_x = 1; n_x <= most; n_x++) {
                    check::holds(check::same_bits(mine.look(n_x), first(all, n_x)),
                                 "%s, %s, %lld keys of %lld with %s, %lld queries: not the bits of the scalar twin", l.name, ggml_type_name(type),
                                 (long long) n, (long long) head_dim, with_names[int(what)], (long long) n_x);
                }
                for (int64_t r = 0; r < n && what == with::numbers; r++) {
                    const std::vector<float> key = c.numbers(r);
                    double sum = 0.0, size = 0.0;
                    for (int64_t e = 0; e < head_dim; e++) {
                        const double term = double(key[size_t(e)]) * double(x[size_t(e)]);
                        sum += term;
                        size += std::fabs(term);
                    }
                    check::holds(std::fabs(double(all[size_t(r)]) - sum) <= 1e-6 * size, "%s, %s, a score of %lld numbers: %g, expected %g", l.name,
                                 ggml_type_name(type), (long long) head_dim, double(all[size_t(r)]), sum);
                }
            }
        }
    }
}

// What goes wrong in values: scales of Q8_0 are halves of their own.
cache values(ggml_type type, std::vector<float> x, int64_t n, size_t gap, with what) {
    const bool halves = type == GGML_TYPE_Q8_0 && (what == with::infinity || what == with::nan);
    spoil(x, n, halves ? with::numbers : what);
    cache c(type, x, n, gap);
    if (halves) {
        const uint16_t half = what == with::infinity ? 0xfc00 : 0x7e00;
        const int64_t n_rows = int64_t(x.size()) / n;
        std::memcpy(c.scale(n_rows / 2, 0), &half, sizeof(half));
    }
    return c;
}

void sums(const check::level & l, ggml_type type) {
    const omni::attend_kernel ours = l.attend(type), twin = omni::attend_scalar(type);
    for (int64_t n_channels : {32, 64, 96, 128}) {
        for (int64_t n : {1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 203}) {
            check::numbers draw(uint64_t(type) * 20011 + uint64_t(n_channels * 131 + n));
            const int64_t group = omni::value_group, padded = (n + group - 1) / group * group;
            const int64_t length = twin.by_channel ? padded : n_channels;  // of a row; rows of positions end with the last
            const std::vector<float> v = draw.row(n_channels * (twin.by_channel ? padded : n), 2.0f);
            std::vector<float> x = queries(draw, n, padded);
            const int64_t x_stride = int64_t(x.size()) / most;
            std::fill_n(x.begin() + x_stride, n, 0.0f);                            // a query that sees nothing
            std::fill_n(x.begin() + 2 * x_stride, std::min(n, group), 1e-36f);     // a group below the least weight
            x[size_t(3 * x_stride + n - 1)] = std::numeric_limits<float>::quiet_NaN();
            x[size_t(4 * x_stride)] = std::numeric_limits<float>::infinity();
            for (with what : {with::numbers, with::zeros, with::tiny, with::infinity, with::nan}) {
                const cache c = values(type, v, length, size_t(n % 3) * ggml_row_size(type, 32), what);
                const product mine = {ours, c, x}, right = {twin, c, x};
                const std::vector<float> all = right.mix(most, n, n);
                for (int64_t n_x = 1; n_x <= most; n_x++) {
                    check::holds(check::same_bits(mine.mix(n_x, n, n), first(all, n_x)),
                                 "%s, %s, %lld values of %lld with %s, %lld queries: not the bits of the scalar twin", l.name, ggml_type_name(type),
                                 (long long) n, (long long) n_channels, with_names[int(what)], (long long) n_x);
                    check::holds(twin.by_channel || check::same_bits(mine.mix(n_x, n, group), first(all, n_x)),
                                 "%s, %s, %lld values of %lld with %s, %lld queries: other bits a group at a time", l.name, ggml_type_name(type),
                                 (long long) n, (long long) n_channels, with_names[int(what)], (long long) n_x);
                }
                for (int64_t e = 0; e < n_channels && what == with::numbers; e++) {
                    double sum = 0.0, size = 0.0;
                    for (int64_t p = 0; p < n; p++) {
                        const double term = double(x[size_t(p)]) * double(twin.by_channel ? c.numbers(e)[size_t(p)] : c.numbers(p)[size_t(e)]);
                        sum += term;
                        size += std::fabs(term);
                    }
                    // a weight as a whole number is off by half of one in 32767 of the largest
                    const double bound = 1e-6 * size + (twin.by_channel ? 0.0 : double(n) * 2.0 * 2.0 / 65534.0);
                    check::holds(std::fabs(double(all[size_t(e)]) - sum) <= bound, "%s, %s, %lld values: %g, expected %g", l.name, ggml_type_name(type),
                                 (long long) n, double(all[size_t(e)]), sum);
                }
            }
        }
    }
}

} // namespace

void check::attention(const level & l) {
    for (ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
        const omni::attend_kernel ours = l.attend(type), twin = omni::attend_scalar(type);
        const bool all = ours.mix && (ours.look || type == GGML_TYPE_Q8_0);  // whose keys are a matrix like any other
        holds(all && ours.by_channel == twin.by_channel, "%s has no attention for %s", l.name, ggml_type_name(type));
        if (all && type != GGML_TYPE_Q8_0) {
            scores(l, type);
        }
        if (all) {
            sums(l, type);
        }
    }
}

void check::attention_chosen(const level & l) {
    for (ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
        const omni::attend_kernel found = omni::find_attend(type, 64), ours = l.attend(type);
        holds(found.mix == ours.mix && found.look == (ours.look ? ours.look : l.panels(type).multiply), "%s: another attention was chosen for %s",
              l.name, ggml_type_name(type));
    }
}
