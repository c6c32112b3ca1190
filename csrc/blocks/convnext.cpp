#include "blocks/convnext.h"

#include "blocks/norm.h"

namespace omni {

convnext::convnext(const loader & l, int64_t n_channels, int64_t kernel, float eps)
    : eps(eps), mix(l.scope("dwconv"), n_channels, kernel), norm_w(l.f32("norm.weight", {n_channels})),
      norm_b(l.f32("norm.bias", {n_channels})), gamma(l.f32("gamma.weight", {n_channels})),
      wide(l.scope("pw1"), n_channels, expansion * n_channels), narrow(l.scope("pw2"), expansion * n_channels, n_channels) {}

ggml_tensor * convnext::build(graph & g, ggml_tensor * x) const {
    ggml_tensor * y = layer_norm(g, mix.build(g, x), norm_w, norm_b, eps);
    y = ggml_gelu_erf(g.ctx, wide.build(g, y));  // exact: ggml_gelu is the tanh form, through a half precision table
    return ggml_add(g.ctx, x, ggml_mul(g.ctx, narrow.build(g, y), gamma));
}

} // namespace omni
