#include "blocks/res2net.h"

namespace omni {

ggml_tensor * join_channels(graph & g, const std::vector<ggml_tensor *> & parts) {
    ggml_tensor * all = nullptr;
    for (ggml_tensor * part : parts) {
        // as [n, 1, T]: ggml's CPU spreads the third axis over its threads, and no other
        ggml_tensor * p = ggml_view_3d(g.ctx, part, part->ne[0], 1, part->ne[1], part->nb[1], part->nb[1], 0);
        all = all ? ggml_concat(g.ctx, all, p, 0) : p;
    }
    return ggml_reshape_2d(g.ctx, all, all->ne[0], all->ne[2]);
}

squeeze_excitation::squeeze_excitation(const loader & l, int64_t n_channels, int64_t n_squeezed)
    : squeeze(l.scope("se1"), n_channels, n_squeezed), excite(l.scope("se2"), n_squeezed, n_channels) {}

ggml_tensor * squeeze_excitation::build(graph & g, ggml_tensor * x) const {
    ggml_tensor * mean = ggml_mean(g.ctx, ggml_cont(g.ctx, ggml_transpose(g.ctx, x)));   // [1, n_channels]
    ggml_tensor * y = ggml_reshape_2d(g.ctx, mean, x->ne[0], 1);
    y = excite.build(g, ggml_relu(g.ctx, squeeze.build(g, y)));                          // [n_channels, 1]
    return ggml_mul(g.ctx, x, ggml_sigmoid(g.ctx, y));
}

res2net_block::res2net_block(const loader & l, const res2net_hparams & hp)
    : hp(hp), tdnn1(l.scope("tdnn1"), hp.n_channels, hp.n_channels), tdnn2(l.scope("tdnn2"), hp.n_channels, hp.n_channels),
      gate(l, hp.n_channels, hp.n_squeezed) {
    const int64_t n = hp.n_channels / hp.scale;
    for (int64_t i = 0; i < hp.scale - 1; i++) {
        parts.emplace_back(l.scope("res2net").scope(i), n, n, hp.kernel, hp.dilation);
    }
}

ggml_tensor * res2net_block::build(graph & g, ggml_tensor * x) const {
    ggml_tensor * y = ggml_relu(g.ctx, tdnn1.build(g, x));                               // [n_channels, T]
    const int64_t n = hp.n_channels / hp.scale;
    std::vector<ggml_tensor *> groups;
    for (int64_t i = 0; i < hp.scale; i++) {
        ggml_tensor * group = ggml_view_2d(g.ctx, y, n, y->ne[1], y->nb[1], size_t(i * n) * sizeof(float));  // [n, T]
        if (i > 0) {
            group = i > 1 ? ggml_add(g.ctx, group, groups.back()) : group;
            group = ggml_relu(g.ctx, parts[size_t(i - 1)].build(g, group));
        }
        groups.push_back(group);
    }
    y = ggml_relu(g.ctx, tdnn2.build(g, join_channels(g, groups)));
    return ggml_add(g.ctx, gate.build(g, y), x);
}

} // namespace omni
