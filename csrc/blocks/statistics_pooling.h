// Attentive statistics pooling (arXiv 1803.10963, with the channel- and context-dependent attention of arXiv 2005.07143):
// a signal of any length to one row, the mean and the standard deviation of each channel, its steps weighted.
#pragma once

#include "core/graph.h"

namespace omni {

struct statistics_pooling {
    statistics_pooling(const loader & l, int64_t n_channels, int64_t n_attention, float variance_floor);

    // [n_channels, T] -> [2 * n_channels, 1]: means, then standard deviations
    ggml_tensor * build(graph & g, ggml_tensor * x) const;

    int64_t n_channels;
    float   variance_floor;  // variances below it are raised to it before the root
    ggml_tensor *tdnn_w, *tdnn_b;  // [3 * n_channels, n_attention]: of a step with the signal's plain mean and standard deviation
    ggml_tensor *conv_w, *conv_b;  // [n_attention, n_channels]
};

} // namespace omni
