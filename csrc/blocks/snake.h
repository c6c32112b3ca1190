// SnakeBeta (BigVGAN, arXiv 2206.04658): f(x) = x + sin(a x)^2 * b, with a and b per channel.
#pragma once

#include "core/graph.h"

namespace omni {

struct snake {
    snake(const loader & l, int64_t n_channels);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    ggml_tensor *a, *b;  // [n_channels]
};

// The same for one row of n channels, on the CPU.
void snake_row(float * y, const float * x, const float * a, const float * b, int64_t n);

} // namespace omni
