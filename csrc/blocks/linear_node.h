// A product of many rows on the CPU as one node of a graph, for weights whose products do not depend on how many rows
// there are: the weights are read once, where the chain of ggml's nodes, its twin, would read them row by row.
#pragma once

#include "blocks/cpu_product.h"
#include "kernels/team.h"

#include <vector>

namespace omni {

class linear_node : public team_work {
  public:
    static bool covers(const graph & g, const ggml_tensor * w) { return g.cpu && !g.tapped() && cpu_product::serves(w, true); }

    // w [n_in, n_out], x F32 [n_in, n] -> [n_out, n]; b F32 [n_out] or nullptr.
    static ggml_tensor * build(graph & g, const ggml_tensor * w, ggml_tensor * x, const ggml_tensor * b);

    int32_t n_steps() const override { return 2; }
    int32_t n_pieces(int32_t step) const override { return step == 0 ? int32_t((n_ + rows_at_once - 1) / rows_at_once) : p_.n_pieces; }
    void    piece(int32_t step, int32_t piece, int thread) override;

  private:
    static constexpr int64_t rows_at_once = 8;

    linear_node(const ggml_tensor * w, const ggml_tensor * b, int64_t n) : p_(w), b_(b), n_(n), forms_(size_t(n) * p_.ready_bytes() + 64) {}
    char * forms();
    static void compute(ggml_tensor * dst, int thread, int n_threads, void * self);

    cpu_product         p_;
    const ggml_tensor * b_;
    ggml_tensor *       dst_ = nullptr;
    int64_t             n_;
    std::vector<char>   forms_;
    team                team_;
};

} // namespace omni
