#include "blocks/row_merger.h"

#include "blocks/linear.h"
#include "blocks/norm.h"

namespace omni {

row_merger::row_merger(const loader & l, int64_t n_embd, int64_t n_join, int64_t n_out, float eps, bool norm_joined)
    : n_wide(n_embd * n_join), norm_joined(norm_joined), eps(eps), norm_w(l.f32("norm.weight", {norm_joined ? n_wide : n_embd})),
      norm_b(l.f32("norm.bias", {norm_joined ? n_wide : n_embd})), fc1_w(l.weight("fc1.weight", {n_wide, n_wide})),
      fc1_b(l.f32("fc1.bias", {n_wide})), fc2_w(l.weight("fc2.weight", {n_wide, n_out})), fc2_b(l.f32("fc2.bias", {n_out})) {}

ggml_tensor * row_merger::build(graph & g, ggml_tensor * x) const {
    const int64_t n_out = x->ne[0] * x->ne[1] / n_wide;
    if (norm_joined) {
        x = layer_norm(g, ggml_reshape_2d(g.ctx, x, n_wide, n_out), norm_w, norm_b, eps);
    } else {
        x = ggml_reshape_2d(g.ctx, layer_norm(g, x, norm_w, norm_b, eps), n_wide, n_out);
    }
    x = ggml_gelu_erf(g.ctx, linear(g, fc1_w, x, fc1_b, 1));                            // [n_wide, n_out]
    return linear(g, fc2_w, x, fc2_b, 1);
}

} // namespace omni
