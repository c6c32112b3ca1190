#include "blocks/stack.h"

#include "blocks/norm.h"
#include "core/error.h"

#include <numeric>

namespace omni {

stack_hparams::stack_hparams(const gguf_keys & kv, const stack_kind & kind)
    : transformer_hparams(kv, !kind.moe), n_ctx_max(kv.size("n_ctx_max")), rms_eps(kv.above_zero("rms_eps")) {
    if (kind.moe) {
        moe.emplace(kv);
    }
    if (kind.axes) {
        const std::vector<int32_t> sections = kv.sizes("rope_sections");
        const int64_t sum = std::accumulate(sections.begin(), sections.end(), int64_t(0));
        if (sum != head_dim / 2) {
            fail(OMNI_ERROR_FORMAT, "%s: rope_sections sum up to %lld, expected half of head_dim, %lld", kv.file().path().c_str(),
                 (long long) sum, (long long) head_dim / 2);
        }
        axes = rope_axes{head_dim, rope_theta, sections};
    }
}

stack::layer::layer(const loader & l, const stack_hparams & hp)
    : attn_norm(l.f32("attn_norm.weight", {hp.n_embd})), ffn_norm(l.f32("ffn_norm.weight", {hp.n_embd})),
      attn(l, {hp.n_embd, hp.n_head, hp.n_head_kv, hp.head_dim, hp.rms_eps, hp.rope_theta}) {
    if (hp.moe) {
        moe.emplace(l, hp.n_embd, *hp.moe);
    } else {
        mlp.emplace(l, hp.n_embd, hp.n_ff);
    }
}

stack::stack(const loader & l, const stack_hparams & hp) : hp(hp) {
    for (int64_t i = 0; i < hp.n_layer; i++) {
        layers.emplace_back(l.scope(i), hp);
    }
}

kv_inputs stack::inputs(graph & g, int64_t n, int64_t step) const {
    kv_inputs in = kv_inputs::make(g, n, g.key.n_kv, hp.kv_width(), step, hp.rope());
    if (layers[0].attn.cache.quantised(g)) {
        in.mask16 = ggml_cast(g.ctx, in.mask, GGML_TYPE_F16);
    }
    return in;
}

ggml_tensor * stack::build(graph & g, ggml_tensor * x, const kv_inputs & in, between_layers * between) const {
    for (size_t i = 0; i < layers.size(); i++) {
        const layer & l = layers[i];
        x = ggml_add(g.ctx, x, l.attn.build(g, rms_norm(g, x, l.attn_norm, hp.rms_eps), in));
        ggml_tensor * normed = rms_norm(g, x, l.ffn_norm, hp.rms_eps);
        x = ggml_add(g.ctx, x, l.moe ? l.moe->build(g, normed, in.n_lanes) : l.mlp->build(g, normed, in.n_lanes));
        if (between && i < between->added.size()) {
            x = ggml_add(g.ctx, x, between->added[i]);
        }
        if (between && int64_t(i) + 1 == between->accept) {
            between->accepted = x;
        }
        g.tap("blk." + std::to_string(i) + ".out", x);
    }
    return x;
}

ggml_tensor * last_rows(graph & g, ggml_tensor * x, int64_t n, int64_t n_lanes) {
    return ggml_cont(g.ctx, ggml_view_2d(g.ctx, x, x->ne[0], n_lanes, size_t(n) * x->nb[1], size_t(n - 1) * x->nb[1]));
}

} // namespace omni
