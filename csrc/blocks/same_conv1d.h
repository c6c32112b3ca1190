// Convolutions over time that keep the length, in exact F32; the signal is reflected at both ends. Rows are time steps:
// x [n_in, T], the channels of a step together. No state: the whole signal is there at once.
#pragma once

#include "core/graph.h"

namespace omni {

// y[t] = b + sum over k of W[k] x[t + k * dilation - left], where steps before the first and after the last are the
// mirror image of those inside, the end itself not repeated (PyTorch: padding "same", padding_mode "reflect").
struct same_conv1d {
    same_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t dilation = 1);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_in, T] -> [n_out, T], T at least min_steps()

    int64_t left() const { return (kernel - 1) * dilation / 2; }
    int64_t right() const { return (kernel - 1) * dilation - left(); }
    int64_t min_steps() const { return right() + 1; }  // a reflection needs one step more than it adds

    int64_t      n_in, n_out, kernel, dilation;
    ggml_tensor *w, *b;  // [n_in, kernel, n_out], [n_out]
};

} // namespace omni
