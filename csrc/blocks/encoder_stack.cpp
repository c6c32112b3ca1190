#include "blocks/encoder_stack.h"

#include "blocks/gelu.h"
#include "blocks/linear.h"
#include "blocks/norm.h"

#include <cmath>

namespace omni {

encoder_layer::encoder_layer(const loader & l, const encoder_hparams & hp)
    : hp(hp), attn_norm_w(l.f32("attn_norm.weight", {hp.n_embd})), attn_norm_b(l.f32("attn_norm.bias", {hp.n_embd})),
      qkv_w(l.weight("attn_qkv.weight", {hp.n_embd, 3 * hp.n_head * hp.head_dim})),
      qkv_b(l.f32("attn_qkv.bias", {3 * hp.n_head * hp.head_dim})),
      out_w(l.weight("attn_output.weight", {hp.n_head * hp.head_dim, hp.n_embd})), out_b(l.f32("attn_output.bias", {hp.n_embd})),
      ffn_norm_w(l.f32("ffn_norm.weight", {hp.n_embd})), ffn_norm_b(l.f32("ffn_norm.bias", {hp.n_embd})),
      up_w(l.weight("ffn_up.weight", {hp.n_embd, hp.n_ff})), up_b(l.f32("ffn_up.bias", {hp.n_ff})),
      down_w(l.weight("ffn_down.weight", {hp.n_ff, hp.n_embd})), down_b(l.f32("ffn_down.bias", {hp.n_embd})) {}

// [head_dim, n_head, n * n_slices], perhaps a view -> [head_dim or more, n, n_head, n_slices]: a head's rows together.
static ggml_tensor * by_head(graph & g, ggml_tensor * x, int64_t n_slices, int64_t n_pad) {
    ggml_tensor * y = ggml_view_4d(g.ctx, x, x->ne[0], x->ne[1], x->ne[2] / n_slices, n_slices, x->nb[1], x->nb[2],
                                   size_t(x->ne[2] / n_slices) * x->nb[2], 0);
    if (n_pad) {
        y = ggml_pad(g.ctx, y, int(n_pad), 0, 0, 0);
    }
    return ggml_permute(g.ctx, y, 0, 2, 1, 3);
}

ggml_tensor * encoder_layer::attend(graph & g, ggml_tensor * x, int64_t n_slices, const grid_turn * turned) const {
    ggml_context * c = g.ctx;
    const int64_t n_rows = x->ne[1], width = hp.n_head * hp.head_dim;
    ggml_tensor * qkv = linear(g, qkv_w, x, qkv_b, 1);                                        // [3 * width, n_rows]
    ggml_tensor * part[3];                                                                    // q, k, v
    for (int i = 0; i < 3; i++) {
        part[i] = ggml_view_3d(c, qkv, hp.head_dim, hp.n_head, n_rows, size_t(hp.head_dim) * sizeof(float), qkv->nb[1],
                               size_t(i * width) * sizeof(float));                            // [head_dim, n_head, n_rows]
    }
    if (turned) {
        part[0] = turn(g, part[0], *turned);
        part[1] = turn(g, part[1], *turned);
    }
    // On the CPU the fast loop wants heads of whole vectors. Channels of zeros add nothing to a score.
    const int64_t n_pad = g.cpu ? (16 - hp.head_dim % 16) % 16 : 0;
    for (ggml_tensor *& p : part) {
        p = by_head(g, p, n_slices, n_pad);
    }
    ggml_tensor * y = ggml_flash_attn_ext(c, part[0], part[1], part[2], nullptr, 1.0f / std::sqrt(float(hp.head_dim)), 0.0f, 0.0f);
    ggml_flash_attn_ext_set_prec(y, GGML_PREC_F32);                                           // [.., n_head, n, n_slices]
    y = ggml_view_4d(c, y, hp.head_dim, hp.n_head, y->ne[2], n_slices, y->nb[1], y->nb[2], y->nb[3], 0);
    return linear(g, out_w, ggml_cont_2d(c, y, width, n_rows), out_b, 1);
}

ggml_tensor * encoder_layer::build(graph & g, ggml_tensor * x, int64_t n_slices, const grid_turn * turned) const {
    x = ggml_add(g.ctx, x, attend(g, layer_norm(g, x, attn_norm_w, attn_norm_b, hp.layer_norm_eps), n_slices, turned));
    ggml_tensor * y = linear(g, up_w, layer_norm(g, x, ffn_norm_w, ffn_norm_b, hp.layer_norm_eps), up_b, 1);
    y = hp.gelu_tanh ? gelu_tanh(g, y) : ggml_gelu_erf(g.ctx, y);
    return ggml_add(g.ctx, x, linear(g, down_w, y, down_b, 1));
}

} // namespace omni
