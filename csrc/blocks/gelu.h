// The Gaussian error linear unit as a tanh approximates it (arXiv 1606.08415); ggml has the exact one.
#pragma once

#include "core/graph.h"

namespace omni {

// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), elementwise, in full float32 precision.
ggml_tensor * gelu_tanh(graph & g, ggml_tensor * x);

} // namespace omni
