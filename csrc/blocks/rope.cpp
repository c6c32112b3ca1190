#include "blocks/rope.h"

#include <cmath>

namespace omni {

ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * pos, float theta) {
    // ggml multiplies its angle by theta^(-2 / head_dim) from channel to channel, so the rounding adds up. Given base 1
    // and the period of each channel as a factor, an angle is rounded once, as in the reference.
    const int head_dim = int(x->ne[0]);
    std::vector<float> period(size_t(head_dim / 2));
    for (int j = 0; j < head_dim / 2; j++) {
        period[size_t(j)] = float(std::pow(double(theta), 2.0 * j / head_dim));
    }
    ggml_tensor * factors = g.constant("rope." + std::to_string(head_dim) + "." + std::to_string(theta), period);
    return ggml_rope_ext(g.ctx, x, pos, factors, head_dim, GGML_ROPE_TYPE_NEOX, 0, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
}

} // namespace omni
