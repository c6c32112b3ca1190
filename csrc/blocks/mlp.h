// The gated feed-forward layer: down(silu(gate(x)) * up(x)).
#pragma once

#include "core/graph.h"

namespace omni {

struct swiglu_mlp {
    swiglu_mlp(const loader & l, int64_t n_embd, int64_t n_ff);

    ggml_tensor * build(graph & g, ggml_tensor * x, int64_t n_lanes) const;  // [n_embd, n * n_lanes], the same out

    ggml_tensor *gate, *up, *down;
};

} // namespace omni
