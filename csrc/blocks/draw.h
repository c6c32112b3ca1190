// Drawing an id from logits, inside a graph.
#pragma once

#include "core/graph.h"

namespace omni {

// How to draw, as a graph input of three F64: temperature (0: the largest logit, the first of equals), top_p, top_k.
constexpr int64_t n_draw_params = 3;

// logits F32 [n_vocab, n_lanes], uniforms F64 [n_draws, n_lanes], params F64 [3] -> I32 [n_lanes], drawn with
// uniforms[index]. Runs on the CPU backend. The order is that of Hugging Face's generation: temperature, top-k (every
// score that is not below the k-th largest stays), top-p (the ascending tail whose probability is at most 1 - top_p
// goes, one score always stays), softmax, then the first id whose cumulative probability exceeds the uniform number.
// All of it in double precision and in the order of pyomni/sampling.py, so that both draw the same id.
int32_t draw_id(const float * logits, int64_t n_vocab, const double * params, double uniform);  // the same of one row

ggml_tensor * draw(graph & g, ggml_tensor * logits, ggml_tensor * uniforms, ggml_tensor * params, int64_t index);

} // namespace omni
