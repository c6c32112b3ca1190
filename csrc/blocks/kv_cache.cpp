#include "blocks/kv_cache.h"

#include <cmath>

namespace omni {

static std::string step_name(const char * name, int64_t step) { return std::string(name) + "." + std::to_string(step); }

kv_inputs kv_inputs::make(graph & g, int64_t n, int64_t n_kv, int64_t width, int64_t step, const rope_axes * axes) {
    const int64_t n_lanes = g.key.n_lanes;
    kv_inputs in;
    in.n       = n;
    in.n_lanes = n_lanes;
    in.n_kv    = n_kv;
    in.pos     = axes ? nullptr : g.input(step_name("pos", step), GGML_TYPE_I32, n * n_lanes);
    in.turns   = axes ? g.input(step_name("turns", step), GGML_TYPE_F32, axes->head_dim, n * n_lanes) : nullptr;
    in.k_rows  = g.input(step_name("k_rows", step), GGML_TYPE_I64, n * n_lanes);
    in.v_rows  = g.input(step_name("v_rows", step), GGML_TYPE_I64, width * n * n_lanes);
    in.mask    = g.input(step_name("mask", step), GGML_TYPE_F32, n_kv, n, 1, n_lanes);
    return in;
}

kv_feed::kv_feed(const session & s, int64_t lane0, const std::vector<int64_t> & n_past, int64_t n, int64_t n_kv, int64_t width,
                 int64_t step)
    : names_{step_name("pos", step), step_name("k_rows", step), step_name("v_rows", step), step_name("mask", step), step_name("turns", step)} {
    const int64_t n_lanes = int64_t(n_past.size());
    const int64_t n_rows  = s.n_ctx_padded();
    pos_.resize(size_t(n * n_lanes));
    k_rows_.resize(pos_.size());
    v_rows_.resize(size_t(width) * pos_.size());
    mask_.assign(size_t(n_kv) * pos_.size(), -INFINITY);
    for (int64_t l = 0; l < n_lanes; l++) {
        for (int64_t i = 0; i < n; i++) {
            const int64_t row  = l * n + i;
            const bool    idle = n_past[size_t(l)] < 0;
            const int64_t at   = idle ? n_rows - 1 : n_past[size_t(l)] + i;
            pos_[size_t(row)]    = int32_t(idle ? 0 : at);
            k_rows_[size_t(row)] = (lane0 + l) * n_rows + at;
            for (int64_t e = 0; e < width; e++) {
                v_rows_[size_t(row * width + e)] = ((lane0 + l) * width + e) * n_rows + at;
            }
            const int64_t seen = idle ? 1 : at + 1;  // an idle row looks at something, so that it stays finite
            for (int64_t j = 0; j < seen; j++) {
                mask_[size_t(row * n_kv + j)] = 0.0f;
            }
        }
    }
}

void kv_feed::turn(const rope_axes & axes, const float * positions) {
    std::vector<float> places;
    if (!positions) {
        for (int32_t at : pos_) {
            places.insert(places.end(), axes.n_axes(), float(at));
        }
    }
    turns_ = rope_turns(axes, positions ? positions : places.data(), int64_t(pos_.size()));
}

void kv_feed::append(std::vector<feed> & in) const {
    in.push_back({names_[0].c_str(), pos_.data(), pos_.size() * sizeof(pos_[0])});
    in.push_back({names_[1].c_str(), k_rows_.data(), k_rows_.size() * sizeof(k_rows_[0])});
    in.push_back({names_[2].c_str(), v_rows_.data(), v_rows_.size() * sizeof(v_rows_[0])});
    in.push_back({names_[3].c_str(), mask_.data(), mask_.size() * sizeof(mask_[0])});
    in.push_back({names_[4].c_str(), turns_.data(), turns_.size() * sizeof(turns_[0])});
}

kv_cache::kv_cache(const loader & l, int64_t n_head_kv, int64_t head_dim)
    : n_head_kv(n_head_kv), head_dim(head_dim), k(l.state_kv({head_dim * n_head_kv, dim_ctx}, head_dim)),
      v(l.state_kv({dim_ctx, head_dim * n_head_kv}, head_dim)) {}

void kv_cache::write(graph & g, ggml_tensor * k_new, ggml_tensor * v_new, const kv_inputs & in) const {
    ggml_tensor * keys   = g.state_lanes(k);  // [width, n_rows, 1, n_lanes]
    ggml_tensor * values = g.state_lanes(v);  // [n_rows, width, 1, n_lanes]
    ggml_tensor * k_flat = ggml_reshape_2d(g.ctx, keys, keys->ne[0], keys->ne[1] * keys->ne[3]);
    g.after(ggml_set_rows(g.ctx, k_flat, k_new, in.k_rows));
    if (quantised(g)) {
        ggml_tensor * v_flat = ggml_reshape_2d(g.ctx, values, values->ne[0], values->ne[1] * values->ne[3]);
        g.after(ggml_set_rows(g.ctx, v_flat, v_new, in.k_rows));
        return;
    }
    ggml_tensor * v_flat = ggml_reshape_2d(g.ctx, values, 1, ggml_nelements(values));
    g.after(ggml_set_rows(g.ctx, v_flat, ggml_reshape_2d(g.ctx, v_new, 1, ggml_nelements(v_new)), in.v_rows));
}

// The live rows of a state that holds them one after the other [width, n_rows, 1, n_lanes].
static ggml_tensor * live_rows(graph & g, ggml_tensor * t, int64_t head_dim, int64_t n_head_kv, const kv_inputs & in) {
    return ggml_view_4d(g.ctx, t, head_dim, in.n_kv, n_head_kv, in.n_lanes, t->nb[1], ggml_row_size(t->type, head_dim), t->nb[3],
                        size_t(g.key.lane0) * t->nb[3]);
}

ggml_tensor * kv_cache::keys(graph & g, const kv_inputs & in) const {
    return live_rows(g, g.state_lanes(k), head_dim, n_head_kv, in);
}

ggml_tensor * kv_cache::values(graph & g, const kv_inputs & in) const {
    ggml_tensor * t = g.state_lanes(v);
    if (quantised(g)) {
        return live_rows(g, t, head_dim, n_head_kv, in);
    }
    return ggml_view_4d(g.ctx, t, in.n_kv, head_dim, n_head_kv, in.n_lanes, t->nb[1], size_t(head_dim) * t->nb[1], t->nb[3],
                        size_t(g.key.lane0) * t->nb[3]);
}

} // namespace omni
