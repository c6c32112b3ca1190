// Attentive statistics pooling (arXiv 1803.10963, with the channel- and context-dependent attention of arXiv 2005.07143):
// a signal of any length to one row, the mean and the standard deviation of each channel, its steps weighted.
#pragma once

#include "blocks/conv1d.h"

namespace omni {

struct statistics_pooling {
    statistics_pooling(const loader & l, int64_t n_channels, int64_t n_attention, float variance_floor);

    // [n_channels, T] -> [2 * n_channels, 1]: means, then standard deviations
    ggml_tensor * build(graph & g, ggml_tensor * x) const;

    int64_t          n_channels;
    float            variance_floor;  // variances below it are raised to it before the root
    pointwise_conv1d tdnn;            // of a step with the plain mean and standard deviation of the signal
    pointwise_conv1d conv;
};

} // namespace omni
