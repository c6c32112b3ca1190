// Matrix products over the rows of several lanes.
#pragma once

#include "core/graph.h"

namespace omni {

// Rows come as [n_in, n * n_lanes], a lane's rows together. Up to this many rows per lane, each row is multiplied on
// its own: the kernel that takes rows one at a time gives a row the same bits whatever else is in the batch, and still
// reads the weights once for all of them. Longer inputs (prefill) take the blocked product, a lane at a time.
// On the CPU the dense stacks of quantised models go another way, where this makes no difference (stack_node).
constexpr int64_t max_single_rows = 4;

// Tap of either: the weight's name and .in, its input x.
//
// w [n_in, n_out] (any type), x [n_in, n * n_lanes] -> [n_out, n * n_lanes]; b [n_out] or nullptr.
ggml_tensor * linear(graph & g, ggml_tensor * w, ggml_tensor * x, ggml_tensor * b, int64_t n_lanes);

// The same, always row by row: for rows that must not depend on how many were asked for at once.
ggml_tensor * linear_rows(graph & g, ggml_tensor * w, ggml_tensor * x, ggml_tensor * b);

} // namespace omni
