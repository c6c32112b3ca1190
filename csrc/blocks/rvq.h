// Residual vector quantisation, the decoding side (SoundStream, arXiv 2107.03312; split as in Mimi, arXiv 2410.00037).
#pragma once

#include "core/graph.h"

#include <vector>

namespace omni {

struct rvq_hparams {
    rvq_hparams(const gguf_keys & kv, int64_t n_out);

    int64_t n_groups, n_semantic;  // codebooks, and how many of them are summed before the first projection
    int64_t codebook_size, codebook_dim, n_out;
};

struct rvq {
    rvq(const loader & l, const rvq_hparams & hp);

    // codes I32 [T, n_groups], each below codebook_size -> [n_out, T]
    ggml_tensor * build(graph & g, ggml_tensor * codes) const;

    rvq_hparams hp;
    std::vector<ggml_tensor *> books;  // [codebook_dim, codebook_size]
    ggml_tensor *first, *rest;         // [codebook_dim, n_out]
};

} // namespace omni
