#include "blocks/norm.h"

namespace omni {

ggml_tensor * rms_norm(graph & g, ggml_tensor * x, ggml_tensor * w, float eps) {
    return ggml_mul(g.ctx, ggml_rms_norm(g.ctx, x, eps), w);
}

ggml_tensor * layer_norm(graph & g, ggml_tensor * x, ggml_tensor * w, ggml_tensor * b, float eps) {
    return ggml_add(g.ctx, ggml_mul(g.ctx, ggml_norm(g.ctx, x, eps), w), b);
}

} // namespace omni
