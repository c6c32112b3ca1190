#include "blocks/stack.h"

#include "blocks/norm.h"

namespace omni {

stack::layer::layer(const loader & l, const stack_hparams & hp)
    : attn_norm(l.f32("attn_norm.weight", {hp.n_embd})), ffn_norm(l.f32("ffn_norm.weight", {hp.n_embd})),
      attn(l, {hp.n_embd, hp.n_head, hp.n_head_kv, hp.head_dim, hp.rms_eps, hp.rope_theta}), mlp(l, hp.n_embd, hp.n_ff) {}

stack::stack(const loader & l, const stack_hparams & hp) : hp(hp) {
    for (int64_t i = 0; i < hp.n_layer; i++) {
        layers.emplace_back(l.scope(i), hp);
    }
}

ggml_tensor * stack::build(graph & g, ggml_tensor * x, const kv_inputs & in) const {
    for (size_t i = 0; i < layers.size(); i++) {
        const layer & l = layers[i];
        x = ggml_add(g.ctx, x, l.attn.build(g, rms_norm(g, x, l.attn_norm, hp.rms_eps), in));
        x = ggml_add(g.ctx, x, l.mlp.build(g, rms_norm(g, x, l.ffn_norm, hp.rms_eps), in.n_lanes));
        g.tap("blk." + std::to_string(i) + ".out", x);
    }
    return x;
}

ggml_tensor * last_rows(graph & g, ggml_tensor * x, int64_t n, int64_t n_lanes) {
    return ggml_cont(g.ctx, ggml_view_2d(g.ctx, x, x->ne[0], n_lanes, size_t(n) * x->nb[1], size_t(n - 1) * x->nb[1]));
}

} // namespace omni
