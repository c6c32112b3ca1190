#include "blocks/gelu.h"

#include <cmath>

namespace omni {

ggml_tensor * gelu_tanh(graph & g, ggml_tensor * x) {
    if (!g.cpu) {
        return ggml_gelu(g.ctx, x);
    }
    // ggml's own reads a table of 16-bit floats on the CPU. x/2 * (1 + tanh(z/2)) is x * sigmoid(z), so with
    // z = x * d it is silu(z) / d, of which ggml has a vector loop; d is at least 1.59.
    ggml_context * c = g.ctx;
    const float twice = float(2.0 * std::sqrt(2.0 / std::acos(-1.0)));
    ggml_tensor * d = ggml_scale_bias(c, ggml_sqr(c, x), 0.044715f * twice, twice);
    return ggml_div(c, ggml_silu(c, ggml_mul(c, x, d)), d);
}

} // namespace omni
