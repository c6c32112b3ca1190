// Residual vector quantisation, the encoding side: per codebook the nearest row, then what it leaves over. Split as in
// Mimi (arXiv 2410.00037): the semantic books and the others each start from the unquantised rows.
#pragma once

#include "blocks/rvq.h"

namespace omni {

struct rvq_search {
    rvq_search(const loader & l, const rvq_hparams & hp);  // hp.n_out: width of the rows that are quantised

    // x [n_out, T] -> for each group its codes, I32 [T]; of rows equally near the first.
    std::vector<ggml_tensor *> build(graph & g, ggml_tensor * x) const;
    size_t max_nodes() const { return books.size() * 16 + 64; }

    rvq_hparams hp;
    std::vector<ggml_tensor *> books;    // [codebook_dim, codebook_size]
    std::vector<ggml_tensor *> lengths;  // [codebook_size], squared
    ggml_tensor *first, *rest;           // [n_out, codebook_dim]
};

} // namespace omni
