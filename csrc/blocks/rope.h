// Rotary positions, half-split pairing: channel j turns with channel j + head_dim / 2.
#pragma once

#include "core/graph.h"

#include <vector>

namespace omni {

// x [head_dim, n_head, n_rows], pos [n_rows] (I32) -> x turned by pos * theta^(-2j / head_dim).
ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * pos, float theta);

// Positions of several axes, interleaved (Qwen3-VL, arXiv 2511.21631): frequency f belongs to axis f mod n_axes, for as
// long as that axis has frequencies left of its section, and from then on to axis 0.
struct rope_axes {
    int64_t head_dim;
    float   theta;
    std::vector<int32_t> sections;  // frequencies of each axis

    size_t n_axes() const { return sections.size(); }
};

// Cosines and sines of n rows, [n, head_dim]: head_dim / 2 of each. pos [n, n_axes] need not be whole numbers.
std::vector<float> rope_turns(const rope_axes & axes, const float * pos, int64_t n);

// x [head_dim, n_head, n_rows], turns [head_dim, n_rows] as from rope_turns.
ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * turns);

} // namespace omni
