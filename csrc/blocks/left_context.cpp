#include "blocks/left_context.h"

namespace omni {

ggml_tensor * join(graph & g, ggml_tensor * a, ggml_tensor * b) {
    const int64_t n = a->ne[0];  // as [n, 1, T]: ggml's CPU spreads the third axis over its threads, and no other
    ggml_tensor * both = ggml_concat(g.ctx, ggml_reshape_3d(g.ctx, a, n, 1, a->ne[1]), ggml_reshape_3d(g.ctx, b, n, 1, b->ne[1]), 2);
    return ggml_reshape_2d(g.ctx, both, n, both->ne[2]);
}

ggml_tensor * steps(graph & g, ggml_tensor * x, int64_t at, int64_t n) {
    return ggml_view_2d(g.ctx, x, x->ne[0], n, x->nb[1], size_t(at) * x->nb[1]);
}

left_context::left_context(const loader & l, int64_t n_channels, int64_t n_steps)
    : n_steps(n_steps), state(n_steps ? l.state_zeros({n_channels, n_steps}) : -1) {}

ggml_tensor * left_context::extend(graph & g, ggml_tensor * x) const {
    if (n_steps == 0) {
        return x;
    }
    ggml_tensor * seen = join(g, g.state(state), x);
    g.store(state, steps(g, seen, x->ne[1], n_steps));
    return seen;
}

} // namespace omni
