// A convolution on the CPU as one node of a graph, by kernels of ours, with what stands before and behind it. Elsewhere
// blocks build a chain of ggml's nodes, which gives the same and is what this is tested against.
#pragma once

#include "blocks/snake.h"
#include "kernels/conv_run.h"

#include <functional>

namespace omni {

// What goes with a convolution: a snake on its input, one on its output, and then something to add.
struct conv_around {
    const snake * before = nullptr;
    const snake * after  = nullptr;
    ggml_tensor * add    = nullptr;  // of the output's shape
};

class fused_conv {
  public:
    // Whether blocks use it here. $PYOMNI_CPU_FUSED=0 says no, for who compares it with ggml's nodes.
    static bool runs(const loader & l);

    // The weights `name` of shape ne; output o's weight of channel i, tap k is number at(o, k) + i of them.
    fused_conv(const loader & l, const std::string & name, const shape & ne, int64_t n_in, int64_t n_taps, int64_t n_out,
               std::function<int64_t(int64_t o, int64_t k)> at);

    struct shape_of {
        int64_t stride = 1, dilation = 1;
        int64_t from = 0, n_rows = 0;  // of the output
        bool    bare_last = false;     // conv_run
    };

    // x [n_in, T]; past [n_in, n_past] or nullptr, carry [n_out] or nullptr, bias [n_bias] or nullptr -> [n_out, n_rows]
    ggml_tensor * build(graph & g, ggml_tensor * past, ggml_tensor * x, ggml_tensor * carry, ggml_tensor * bias,
                        const conv_around & around, const shape_of & shape) const;

  private:
    struct node;
    static void compute(ggml_tensor * dst, int ith, int nth, void * node);

    std::shared_ptr<std::unique_ptr<conv_panels>> panels_;  // made when the weights are read
    int n_threads_;
};

} // namespace omni
