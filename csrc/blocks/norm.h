// Normalisation over the first axis.
#pragma once

#include "core/graph.h"

namespace omni {

// x / sqrt(mean(x^2) + eps) * w, the mean in double precision; x [n, ..], w [n].
ggml_tensor * rms_norm(graph & g, ggml_tensor * x, ggml_tensor * w, float eps);

// (x - mean) / sqrt(variance + eps) * w + b; x [n, ..], w and b [n].
ggml_tensor * layer_norm(graph & g, ggml_tensor * x, ggml_tensor * w, ggml_tensor * b, float eps);

} // namespace omni
