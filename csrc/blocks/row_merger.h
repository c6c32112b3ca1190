// Makes one row of several neighbours: LayerNorm, a matrix, the exact GELU, a matrix to another width.
#pragma once

#include "core/loader.h"
#include "core/graph.h"

namespace omni {

struct row_merger {
    // norm_joined: the norm looks at the rows once they are joined, else at each of them before.
    row_merger(const loader & l, int64_t n_embd, int64_t n_join, int64_t n_out, float eps, bool norm_joined);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_embd, n] -> [n_out, n / n_join]
    static size_t max_nodes() { return 24; }

    int64_t n_wide;  // n_embd * n_join
    bool    norm_joined;
    float   eps;
    ggml_tensor *norm_w, *norm_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b;
};

} // namespace omni
