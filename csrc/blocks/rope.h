// Rotary positions, half-split pairing: channel j turns with channel j + head_dim / 2.
#pragma once

#include "core/graph.h"

namespace omni {

// x [head_dim, n_head, n_rows], pos [n_rows] (I32) -> x turned by pos * theta^(-2j / head_dim).
ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * pos, float theta);

} // namespace omni
