#include "blocks/grid.h"

#include <algorithm>
#include <cmath>

namespace omni {

grid_places::grid_places(int64_t h, int64_t w, int64_t merge) : h(h), w(w) {
    row.reserve(size_t(h * w));
    col.reserve(size_t(h * w));
    for (int64_t y = 0; y < h; y += merge) {
        for (int64_t x = 0; x < w; x += merge) {
            for (int64_t i = 0; i < merge * merge; i++) {
                row.push_back(int32_t(y + i / merge));
                col.push_back(int32_t(x + i % merge));
            }
        }
    }
}

// n points from 0 to last, counted from the nearer end, as torch.linspace rounds them.
static std::vector<float> points(int64_t n, int64_t last) {
    const float step = n > 1 ? float(last) / float(n - 1) : 0.0f;
    std::vector<float> out;
    for (int64_t i = 0; i < n; i++) {
        out.push_back(i < n / 2 || n == 1 ? step * float(i) : float(last) - step * float(n - 1 - i));
    }
    return out;
}

grid_table::grid_table(const loader & l, int64_t n_embd, int64_t side) : table(l.f32("weight", {n_embd, side * side})), side(side) {}

ggml_tensor * grid_table::build(graph & g, const grid_places & at) const {
    const std::vector<float> ys = points(at.h, side - 1), xs = points(at.w, side - 1);
    const size_t n = at.row.size();
    std::vector<int32_t> index[4];
    std::vector<float>   weight[4];
    for (size_t i = 0; i < n; i++) {
        const float   y = ys[size_t(at.row[i])], x = xs[size_t(at.col[i])];
        const int32_t y0 = int32_t(y), x0 = int32_t(x);
        const int32_t y1 = std::min(y0 + 1, int32_t(side) - 1), x1 = std::min(x0 + 1, int32_t(side) - 1);
        const float   dy = y - float(y0), dx = x - float(x0);
        const int32_t corner[4] = {y0 * int32_t(side) + x0, y0 * int32_t(side) + x1, y1 * int32_t(side) + x0, y1 * int32_t(side) + x1};
        const float   share[4] = {(1.0f - dy) * (1.0f - dx), (1.0f - dy) * dx, dy * (1.0f - dx), dy * dx};
        for (int k = 0; k < 4; k++) {
            index[k].push_back(corner[k]);
            weight[k].push_back(share[k]);
        }
    }
    ggml_tensor * sum = nullptr;
    for (int k = 0; k < 4; k++) {
        const std::string name = "grid.corner." + std::to_string(k);
        ggml_tensor * rows  = ggml_get_rows(g.ctx, table, g.constant(name, index[k]));               // [n_embd, h * w]
        ggml_tensor * share = ggml_reshape_2d(g.ctx, g.constant(name + ".share", weight[k]), 1, int64_t(n));
        rows = ggml_mul(g.ctx, rows, share);
        sum  = sum ? ggml_add(g.ctx, sum, rows) : rows;
    }
    return sum;
}

grid_turn make_grid_turn(graph & g, const grid_places & at, int64_t n_frames, int64_t head_dim, float theta) {
    const size_t n = at.row.size();
    std::vector<int32_t> pos(size_t(4 * n_frames) * n, 0);
    for (size_t t = 0; t < size_t(n_frames); t++) {
        std::copy(at.row.begin(), at.row.end(), pos.begin() + std::ptrdiff_t(t * n));
        std::copy(at.col.begin(), at.col.end(), pos.begin() + std::ptrdiff_t((size_t(n_frames) + t) * n));
    }
    // Base 1 and the period of each pair as a factor: an angle is rounded once (see rope.cpp).
    std::vector<float> period;
    const int64_t n_pairs = head_dim / 4;  // of each axis
    for (int64_t j = 0; j < 2 * n_pairs; j++) {
        period.push_back(float(std::pow(double(theta), double(j % n_pairs) / double(n_pairs))));
    }
    return {g.constant("grid.pos", pos), g.constant("grid.period", period)};
}

ggml_tensor * turn(graph & g, ggml_tensor * x, const grid_turn & by) {
    const int head_dim = int(x->ne[0]);
    int sections[4] = {head_dim / 4, head_dim / 4, 0, 0};
    return ggml_rope_multi(g.ctx, x, by.pos, by.factors, head_dim, sections, GGML_ROPE_TYPE_MROPE, 0, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
}

} // namespace omni
