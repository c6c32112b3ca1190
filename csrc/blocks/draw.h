// Drawing an id from logits, inside a graph.
#pragma once

#include "core/graph.h"
#include "core/session.h"
#include "omni.h"

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

// The same as a chain of ggml's nodes in single precision, so that on a device nothing leaves it between two draws. An id
// is another one than above where the uniform number is within rounding of a boundary between two.
class device_draw {
  public:
    static constexpr const char * tap = "draw";  // which asks for it on the CPU too, as a test
    static bool wanted(bool cpu, bool tapped) { return !cpu || tapped; }

    device_draw(graph & g, int64_t n_vocab, int64_t n_draws);
    ggml_tensor * draw(ggml_tensor * logits, int64_t index) const;  // [n_vocab, n_lanes] -> I32 [n_lanes]
    static constexpr size_t max_nodes = 40;

  private:
    graph & g_;
    ggml_tensor *uniforms_, *cold_, *top_p_, *ranks_, *up_, *down_;
};

// What its graph is fed with. The largest logit is what a draw with 0 of the first rank gives.
class device_draw_feeds {
  public:
    device_draw_feeds(const omni_draw & how, const double * uniforms, int64_t n_uniforms, int64_t n_vocab);
    void append(std::vector<feed> & in) const;

  private:
    std::vector<float> uniforms_, cold_, top_p_, ranks_;
};

} // namespace omni
