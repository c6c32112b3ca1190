// Products with quantised weights: the bits of the scalar twin, for any number of rows and every cut of the matrix.
#include "check.h"

#include "ggml.h"

#include <algorithm>
#include <limits>

namespace {

struct kind {
    ggml_type type;
    float size;                    // of the halves, which must stay numbers of a sensible size
    std::vector<int> halves;       // where a unit holds them
};

const kind kinds[] = {
    {GGML_TYPE_Q8_0, 2e-4f, {0}},    {GGML_TYPE_Q4_0, 2e-3f, {0}},    {GGML_TYPE_IQ4_NL, 2e-4f, {0}},
    {GGML_TYPE_Q4_K, 2e-4f, {0, 2}}, {GGML_TYPE_Q5_K, 2e-4f, {0, 2}}, {GGML_TYPE_Q6_K, 2e-5f, {208}},
};

std::vector<char> weights(const kind & k, int64_t n_rows, int64_t n_in, check::numbers & draw) {
    const size_t unit = ggml_type_size(k.type), n = size_t(n_rows) * ggml_row_size(k.type, n_in);
    std::vector<char> w(n);
    for (char & c : w) {
        c = char(draw.bits());
    }
    for (size_t at = 0; at < n; at += unit) {
        for (int half : k.halves) {
            const ggml_fp16_t h = ggml_fp32_to_fp16((0.75f + 0.25f * draw.uniform()) * k.size);
            std::memcpy(w.data() + at + half, &h, sizeof(h));
        }
    }
    return w;
}

// Rows that rounding to 8 bits has its edges in: zeros, ties, the largest, and what is no number, alone and among others.
std::vector<float> inputs(int64_t n_x, int64_t n_in, check::numbers & draw) {
    std::vector<float> x = draw.row(n_x * n_in, 3.0f);
    const float inf = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
    for (int64_t i = 0; i < n_x; i++) {
        float * row = x.data() + i * n_in;
        switch (i % 8) {
            case 1: std::memset(row, 0, size_t(n_in) * sizeof(float)); break;
            case 2: row[3] = 127.0f; row[4] = 0.5f; row[5] = 1.5f; row[6] = -2.5f; row[7] = -127.0f; break;
            case 3: row[5] = 1e30f; row[6] = -1e30f; break;
            case 4: row[9] = -inf; break;
            case 5: row[2] = 1e-40f; break;
            case 6: row[n_in - 1] = i % 16 == 6 ? none : -none; row[n_in - 2] = 20.0f; break;
            case 7: std::fill_n(row + i % 3, n_in - 8, none); break;
            default: break;
        }
    }
    return x;
}

std::vector<float> product(const omni::matvec & m, const std::vector<char> & w, int64_t n_rows, int64_t n_in, const float * x, int64_t n_x,
                           int64_t from, int64_t to) {
    const int32_t type = m.type;
    const size_t form = (m.ready_bytes(type, n_in) + 63) / 64 * 64, stride = w.size() / size_t(n_rows);
    std::vector<char> ready(form * size_t(n_x) + 64);
    char * at = ready.data() + (64 - reinterpret_cast<uintptr_t>(ready.data()) % 64) % 64;
    for (int64_t i = 0; i < n_x; i++) {
        m.ready(type, x + i * n_in, n_in, at + size_t(i) * form);
    }
    std::vector<float> y(size_t(n_x * (to - from)), -7.0f);
    m.multiply(type, w.data() + size_t(from) * stride, stride, to - from, n_in, at, form, n_x, y.data(), to - from);
    return y;
}

} // namespace

void check::panels(const level & l) {
    for (const kind & k : kinds) {
        const omni::matvec ours = l.panels(k.type), twin = omni::panel_scalar(k.type);
        holds(ours.multiply != nullptr, "%s has no panels for %s", l.name, ggml_type_name(k.type));
        if (!ours.multiply) {
            continue;
        }
        for (int64_t n_in : {int64_t(ours.unit), int64_t(ours.unit) * (ours.unit == 32 ? 3 : 5), int64_t(1280), int64_t(2048)}) {
            const int64_t n_rows = 37, most = 27;
            check::numbers draw(uint64_t(k.type) * 10007 + uint64_t(n_in));
            const std::vector<char> w = weights(k, n_rows, n_in, draw);
            const std::vector<float> x = inputs(most, n_in, draw);
            const std::vector<float> all = product(twin, w, n_rows, n_in, x.data(), most, 0, n_rows);
            for (int64_t n_x : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 27}) {
                const std::vector<float> expected(all.begin(), all.begin() + n_x * n_rows);
                holds(same_bits(product(ours, w, n_rows, n_in, x.data(), n_x, 0, n_rows), expected),
                      "%s, %s, %lld numbers, %lld rows of x: not the bits of the scalar twin", l.name, ggml_type_name(k.type),
                      (long long) n_in, (long long) n_x);
            }
            for (int64_t cut : {1, 7, 8, 9, 16, 21}) {
                for (int64_t n_x : {2, 5}) {
                    const std::vector<float> part = product(ours, w, n_rows, n_in, x.data(), n_x, cut, n_rows);
                    std::vector<float> expected;
                    for (int64_t i = 0; i < n_x; i++) {
                        expected.insert(expected.end(), all.begin() + i * n_rows + cut, all.begin() + (i + 1) * n_rows);
                    }
                    holds(same_bits(part, expected), "%s, %s, %lld numbers, cut at %lld: other bits than whole", l.name,
                          ggml_type_name(k.type), (long long) n_in, (long long) cut);
                }
            }
        }
    }
}
