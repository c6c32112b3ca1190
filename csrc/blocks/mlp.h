// Feed-forward layers.
#pragma once

#include "core/graph.h"

namespace omni {

// down(silu(gate(x)) * up(x)).
struct swiglu_mlp {
    swiglu_mlp(const loader & l, int64_t n_embd, int64_t n_ff, const std::string & suffix = "");  // of the tensors' names

    ggml_tensor * build(graph & g, ggml_tensor * x, int64_t n_lanes) const;  // [n_embd, n * n_lanes], the same out

    ggml_tensor *gate, *up, *down;
};

// down(gelu(up(x))), the exact GELU.
struct gelu_mlp {
    gelu_mlp(const loader & l, int64_t n_embd, int64_t n_ff);

    ggml_tensor * build(graph & g, ggml_tensor * x, int64_t n_lanes) const;  // [n_embd, n * n_lanes], the same out

    ggml_tensor *up, *down;
};

} // namespace omni
