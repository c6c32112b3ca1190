// What causal blocks remember of a stream: its last steps. A row is a step: x [n_channels, T].
#pragma once

#include "core/graph.h"

namespace omni {

// a [n, Ta] and b [n, Tb], one after the other: [n, Ta + Tb]. Both contiguous.
ggml_tensor * join(graph & g, ggml_tensor * a, ggml_tensor * b);

// Steps [at, at + n) of x, a view.
ggml_tensor * steps(graph & g, ggml_tensor * x, int64_t at, int64_t n);

struct snake;

// For the CPU: of the steps of state and then x, with x through a snake if there is one, the newest stay in state.
void keep_newest(graph & g, ggml_tensor * state, ggml_tensor * x, const snake * s);

// The last n_steps steps of earlier calls; zeros before the first, which is the zero padding of a causal convolution.
struct left_context {
    left_context(const loader & l, int64_t n_channels, int64_t n_steps);

    // x [n_channels, T] -> [n_channels, n_steps + T], and keeps the last n_steps of that for the next call.
    ggml_tensor * extend(graph & g, ggml_tensor * x) const;

    int64_t    n_steps;
    state_slot state;
};

} // namespace omni
