#include "blocks/mean_embedding.h"

namespace omni {

mean_embedding::mean_embedding(const loader & l, int64_t n_groups, int64_t n_rows, int64_t n_embd)
    : n_groups(n_groups), n_rows(n_rows), n_embd(n_embd), table(l.weight("weight", {n_embd, n_groups * n_rows})) {}

ggml_tensor * mean_embedding::build(graph & g, ggml_tensor * ids) const {
    // A group's part of the table as a slice of its own: the offset of a group is then that of its slice.
    ggml_tensor * parts = ggml_reshape_3d(g.ctx, table, n_embd, n_rows, n_groups);
    ggml_tensor * rows  = ggml_get_rows(g.ctx, parts, ids);                          // [n_embd, T, n_groups]
    ggml_tensor * sum   = nullptr;
    for (int64_t k = 0; k < n_groups; k++) {
        ggml_tensor * one = ggml_view_2d(g.ctx, rows, n_embd, rows->ne[1], rows->nb[1], size_t(k) * rows->nb[2]);
        sum = sum ? ggml_add(g.ctx, sum, one) : one;
    }
    return ggml_scale(g.ctx, sum, 1.0f / float(n_groups));                           // [n_embd, T]
}

} // namespace omni
