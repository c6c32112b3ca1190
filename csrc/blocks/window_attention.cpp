#include "blocks/window_attention.h"

#include "blocks/rope.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace omni {

window_mask::window_mask(const loader & l, int64_t window) : window(window), filled(l, 1, window - 1) {}

window_inputs window_mask::build(graph & g, int64_t n_steps) const {
    const int64_t n_past = window - 1, n_keys = n_past + n_steps;
    std::vector<int32_t> pos(static_cast<size_t>(n_keys));
    std::iota(pos.begin(), pos.end(), 0);
    std::vector<float> sees(size_t(n_keys * n_steps), -std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < n_steps; i++) {
        for (int64_t j = i; j <= n_past + i; j++) {
            sees[size_t(i * n_keys + j)] = 0.0f;
        }
    }
    ggml_tensor * ones = g.constant("window.new", std::vector<float>(size_t(n_steps), 1.0f));
    ggml_tensor * there = filled.extend(g, ggml_reshape_2d(g.ctx, ones, 1, n_steps));  // [1, n_keys]: 0 or 1
    there = ggml_log(g.ctx, ggml_reshape_1d(g.ctx, there, n_keys));                    // -inf or 0

    window_inputs in;
    in.key_pos   = g.constant("window.pos", pos);
    in.query_pos = ggml_view_1d(g.ctx, in.key_pos, n_steps, size_t(n_past) * sizeof(int32_t));
    in.mask      = ggml_add(g.ctx, ggml_reshape_2d(g.ctx, g.constant("window.mask", sees), n_keys, n_steps), there);
    return in;
}

window_attention::window_attention(const loader & l, const window_hparams & hp)
    : hp(hp), q(l, "attn_q.weight", "", hp.n_embd, hp.n_head * hp.head_dim),
      k(l, "attn_k.weight", "", hp.n_embd, hp.n_head_kv * hp.head_dim), v(l, "attn_v.weight", "", hp.n_embd, hp.n_head_kv * hp.head_dim),
      o(l, "attn_output.weight", "", hp.n_head * hp.head_dim, hp.n_embd),
      keys(l, hp.n_head_kv * hp.head_dim, hp.window - 1), values(l, hp.n_head_kv * hp.head_dim, hp.window - 1) {}

ggml_tensor * window_attention::build(graph & g, ggml_tensor * x, const window_inputs & in) const {
    ggml_context * c = g.ctx;
    const int64_t n = x->ne[1], n_keys = in.key_pos->ne[0];
    ggml_tensor * xk = keys.extend(g, k.build(g, x));
    ggml_tensor * xv = values.extend(g, v.build(g, x));
    xk = rope(g, ggml_reshape_3d(c, xk, hp.head_dim, hp.n_head_kv, n_keys), in.key_pos, hp.rope_theta);
    xv = ggml_reshape_3d(c, xv, hp.head_dim, hp.n_head_kv, n_keys);
    ggml_tensor * xq = ggml_reshape_3d(c, q.build(g, x), hp.head_dim, hp.n_head, n);
    xq = rope(g, xq, in.query_pos, hp.rope_theta);

    xq = ggml_permute(c, xq, 0, 2, 1, 3);                                            // [head_dim, n, n_head]
    xk = ggml_permute(c, xk, 0, 2, 1, 3);                                            // [head_dim, n_keys, n_head_kv]
    xv = ggml_cont(c, ggml_permute(c, xv, 1, 2, 0, 3));                              // [n_keys, head_dim, n_head_kv]
    ggml_tensor * scores = ggml_mul_mat(c, xk, xq);                                  // [n_keys, n, n_head]
    scores = ggml_soft_max_ext(c, scores, in.mask, 1.0f / std::sqrt(float(hp.head_dim)), 0.0f);
    ggml_tensor * y = ggml_mul_mat(c, xv, scores);                                   // [head_dim, n, n_head]
    y = ggml_cont_2d(c, ggml_permute(c, y, 0, 2, 1, 3), hp.head_dim * hp.n_head, n);
    return o.build(g, y);
}

} // namespace omni
