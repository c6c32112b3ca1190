// A pre-norm transformer that remembers nothing: LayerNorm, attention in which every row sees all rows of its slice, and
// a plain feed-forward layer, all with biases.
#pragma once

#include "blocks/grid.h"

#include <vector>

namespace omni {

struct encoder_hparams {
    int64_t n_layer, n_embd, n_head, head_dim, n_ff;
    float   layer_norm_eps;
    bool    gelu_tanh;  // the tanh approximation; else the exact one
};

struct encoder_layer {
    encoder_layer(const loader & l, const encoder_hparams & hp);

    // x [n_embd, n * n_slices] -> the same. turned: how heads are turned, or nullptr. The scores of a slice are never
    // all in memory.
    ggml_tensor * build(graph & g, ggml_tensor * x, int64_t n_slices, const grid_turn * turned) const;
    static size_t max_nodes() { return 48; }

    encoder_hparams hp;
    ggml_tensor *attn_norm_w, *attn_norm_b, *qkv_w, *qkv_b, *out_w, *out_b;
    ggml_tensor *ffn_norm_w, *ffn_norm_b, *up_w, *up_b, *down_w, *down_b;

  private:
    ggml_tensor * attend(graph & g, ggml_tensor * x, int64_t n_slices, const grid_turn * turned) const;
};

} // namespace omni
