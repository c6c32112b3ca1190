#include "blocks/scaled_stack.h"

#include "blocks/norm.h"

namespace omni {

scaled_stack::layer::layer(const loader & l, const scaled_stack_hparams & hp)
    : attn_norm_w(l.f32("attn_norm.weight", {hp.n_embd})), attn_norm_b(l.f32("attn_norm.bias", {hp.n_embd})),
      attn_scale(l.f32("attn_scale.weight", {hp.n_embd})), ffn_norm_w(l.f32("ffn_norm.weight", {hp.n_embd})),
      ffn_norm_b(l.f32("ffn_norm.bias", {hp.n_embd})), ffn_scale(l.f32("ffn_scale.weight", {hp.n_embd})),
      attn(l, {hp.n_embd, hp.n_head, hp.n_head_kv, hp.head_dim, 0.0f, hp.rope_theta, /*qk_norm =*/false}),
      mlp(l, hp.n_embd, hp.n_ff) {}

scaled_stack::scaled_stack(const loader & l, const scaled_stack_hparams & hp) : hp(hp) {
    for (int64_t i = 0; i < hp.n_layer; i++) {
        layers.emplace_back(l.scope("blk").scope(i), hp);
    }
}

ggml_tensor * scaled_stack::build(graph & g, ggml_tensor * x, const kv_inputs & in) const {
    for (const layer & l : layers) {
        ggml_tensor * y = l.attn.build(g, layer_norm(g, x, l.attn_norm_w, l.attn_norm_b, hp.layer_norm_eps), in);
        x = ggml_add(g.ctx, x, ggml_mul(g.ctx, y, l.attn_scale));
        y = l.mlp.build(g, layer_norm(g, x, l.ffn_norm_w, l.ffn_norm_b, hp.layer_norm_eps), in.n_lanes);
        x = ggml_add(g.ctx, x, ggml_mul(g.ctx, y, l.ffn_scale));
    }
    return x;
}

} // namespace omni
