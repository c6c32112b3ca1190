// The ConvNeXt block (arXiv 2201.03545) over time: x + gamma * mlp(norm(depthwise(x))).
#pragma once

#include "blocks/conv1d.h"

namespace omni {

struct convnext {
    convnext(const loader & l, int64_t n_channels, int64_t kernel, float eps);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    static constexpr int64_t expansion = 4;  // of the two pointwise layers

    float            eps;
    depthwise_conv1d mix;
    ggml_tensor     *norm_w, *norm_b, *gamma;
    pointwise_conv1d wide, narrow;
};

} // namespace omni
