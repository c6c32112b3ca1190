#include "blocks/statistics_pooling.h"

#include "blocks/linear.h"

#include <limits>

namespace omni {

statistics_pooling::statistics_pooling(const loader & l, int64_t n_channels, int64_t n_attention, float variance_floor)
    : n_channels(n_channels), variance_floor(variance_floor), tdnn_w(l.f32("tdnn.weight", {3 * n_channels, n_attention})),
      tdnn_b(l.f32("tdnn.bias", {n_attention})), conv_w(l.f32("conv.weight", {n_attention, n_channels})),
      conv_b(l.f32("conv.bias", {n_channels})) {}

static ggml_tensor * deviation(graph & g, ggml_tensor * variance, float floor) {
    return ggml_sqrt(g.ctx, ggml_clamp(g.ctx, variance, floor, std::numeric_limits<float>::max()));
}

ggml_tensor * statistics_pooling::build(graph & g, ggml_tensor * x) const {
    ggml_context * c = g.ctx;
    ggml_tensor * xt = ggml_cont(c, ggml_transpose(c, x));                               // [T, n_channels]: sums run over time

    ggml_tensor * mean = ggml_mean(c, xt);                                               // [1, n_channels]
    ggml_tensor * sd   = deviation(g, ggml_mean(c, ggml_sqr(c, ggml_sub(c, xt, mean))), variance_floor);

    // The product of [x; mean; sd] with the matrix in three parts: the last two are the same at every step.
    const auto part = [&](int64_t i) {
        return ggml_view_2d(c, tdnn_w, n_channels, tdnn_w->ne[1], tdnn_w->nb[1], size_t(i * n_channels) * sizeof(float));
    };
    ggml_tensor * fixed = linear(g, part(1), ggml_reshape_2d(c, mean, n_channels, 1), tdnn_b, 1);
    fixed = ggml_add(c, fixed, linear(g, part(2), ggml_reshape_2d(c, sd, n_channels, 1), nullptr, 1));
    ggml_tensor * y = ggml_add(c, linear(g, part(0), x, nullptr, 1), fixed);             // [n_attention, T]
    y = ggml_tanh(c, ggml_relu(c, y));

    ggml_tensor * scores = ggml_mul_mat(c, y, conv_w);                                   // [T, n_channels]
    scores = ggml_add(c, scores, ggml_reshape_2d(c, conv_b, 1, n_channels));
    ggml_tensor * weights = ggml_soft_max(c, scores);                                    // over time

    mean = ggml_sum_rows(c, ggml_mul(c, xt, weights));                                   // [1, n_channels]
    ggml_tensor * off = ggml_sqr(c, ggml_sub(c, xt, mean));
    sd = deviation(g, ggml_sum_rows(c, ggml_mul(c, off, weights)), variance_floor);
    return ggml_reshape_2d(c, ggml_concat(c, mean, sd, 1), 2 * n_channels, 1);
}

} // namespace omni
