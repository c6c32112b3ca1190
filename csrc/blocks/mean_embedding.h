// The front that averages: one id per group and position, a table with the groups' rows one group behind the other.
#pragma once

#include "core/graph.h"

namespace omni {

struct mean_embedding {
    mean_embedding(const loader & l, int64_t n_groups, int64_t n_rows, int64_t n_embd);

    // ids I32 [T, n_groups], each below n_rows -> [n_embd, T]: the mean over groups of row n_rows * group + id
    ggml_tensor * build(graph & g, ggml_tensor * ids) const;

    int64_t       n_groups, n_rows, n_embd;
    ggml_tensor * table;  // [n_embd, n_groups * n_rows]
};

} // namespace omni
