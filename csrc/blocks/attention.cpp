#include "blocks/attention.h"

#include "blocks/linear.h"
#include "blocks/norm.h"
#include "blocks/rope.h"

#include <cmath>

namespace omni {

attention::attention(const loader & l, const attention_hparams & hp)
    : hp(hp), q(l.matrix("attn_q.weight", {hp.n_embd, hp.n_head * hp.head_dim})),
      k(l.matrix("attn_k.weight", {hp.n_embd, hp.n_head_kv * hp.head_dim})),
      v(l.matrix("attn_v.weight", {hp.n_embd, hp.n_head_kv * hp.head_dim})),
      o(l.matrix("attn_output.weight", {hp.n_head * hp.head_dim, hp.n_embd})), q_norm(hp.qk_norm ? l.f32("attn_q_norm.weight", {hp.head_dim}) : nullptr),
      k_norm(hp.qk_norm ? l.f32("attn_k_norm.weight", {hp.head_dim}) : nullptr), cache(l, hp.n_head_kv, hp.head_dim) {}

ggml_tensor * attention::build(graph & g, ggml_tensor * x, const kv_inputs & in) const {
    ggml_context * c = g.ctx;
    const int64_t n_rows = in.n * in.n_lanes;
    ggml_tensor * xq = ggml_reshape_3d(c, linear(g, q, x, nullptr, in.n_lanes), hp.head_dim, hp.n_head, n_rows);
    ggml_tensor * xk = ggml_reshape_3d(c, linear(g, k, x, nullptr, in.n_lanes), hp.head_dim, hp.n_head_kv, n_rows);
    ggml_tensor * xv = linear(g, v, x, nullptr, in.n_lanes);

    if (hp.qk_norm) {  // before the rotation
        xq = rms_norm(g, xq, q_norm, hp.rms_eps);
        xk = rms_norm(g, xk, k_norm, hp.rms_eps);
    }
    xq = in.turns ? rope(g, xq, in.turns) : rope(g, xq, in.pos, hp.rope_theta);
    xk = in.turns ? rope(g, xk, in.turns) : rope(g, xk, in.pos, hp.rope_theta);
    cache.write(g, ggml_reshape_2d(c, xk, hp.head_dim * hp.n_head_kv, n_rows), xv, in);

    xq = ggml_reshape_4d(c, xq, hp.head_dim, hp.n_head, in.n, in.n_lanes);
    xq = ggml_permute(c, xq, 0, 2, 1, 3);                                     // [head_dim, n, n_head, n_lanes]
    if (cache.quantised(g)) {  // there is no product with rows of values but this
        ggml_tensor * y = ggml_flash_attn_ext(c, xq, cache.keys(g, in), cache.values(g, in), in.mask16,
                                              1.0f / std::sqrt(float(hp.head_dim)), 0.0f, 0.0f);  // [head_dim, n_head, n, n_lanes]
        ggml_flash_attn_ext_set_prec(y, GGML_PREC_F32);
        return linear(g, o, ggml_reshape_2d(c, y, hp.head_dim * hp.n_head, n_rows), nullptr, in.n_lanes);
    }
    ggml_tensor * scores = ggml_mul_mat(c, cache.keys(g, in), xq);            // [n_kv, n, n_head, n_lanes]
    scores = ggml_soft_max_ext(c, scores, in.mask, 1.0f / std::sqrt(float(hp.head_dim)), 0.0f);
    ggml_tensor * y = ggml_mul_mat(c, cache.values(g, in), scores);           // [head_dim, n, n_head, n_lanes]
    y = ggml_cont_2d(c, ggml_permute(c, y, 0, 2, 1, 3), hp.head_dim * hp.n_head, n_rows);
    return linear(g, o, y, nullptr, in.n_lanes);
}

} // namespace omni
