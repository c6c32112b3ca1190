// A pre-norm transformer with LayerNorm, a plain GELU feed-forward layer and a learned scale on each branch (LayerScale,
// arXiv 2103.17239), over a KV cache; no norm behind the last layer.
#pragma once

#include "blocks/attention.h"
#include "blocks/hparams.h"
#include "blocks/mlp.h"

#include <vector>

namespace omni {

struct scaled_stack_hparams : transformer_hparams {
    explicit scaled_stack_hparams(const gguf_keys & kv)
        : transformer_hparams(kv), layer_norm_eps(kv.above_zero("layer_norm_eps")) {}

    float layer_norm_eps;
};

struct scaled_stack {
    scaled_stack(const loader & l, const scaled_stack_hparams & hp);

    ggml_tensor * build(graph & g, ggml_tensor * x, const kv_inputs & in) const;  // [n_embd, n * n_lanes] -> the same
    size_t max_nodes() const { return layers.size() * 96 + 64; }

    struct layer {
        layer(const loader & l, const scaled_stack_hparams & hp);
        ggml_tensor *attn_norm_w, *attn_norm_b, *attn_scale, *ffn_norm_w, *ffn_norm_b, *ffn_scale;
        attention attn;
        gelu_mlp  mlp;
    };

    scaled_stack_hparams hp;
    std::vector<layer>   layers;
};

} // namespace omni
