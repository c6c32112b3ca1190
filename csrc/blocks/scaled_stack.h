// A pre-norm transformer with LayerNorm, a plain GELU feed-forward layer and a learned scale on each branch (LayerScale,
// arXiv 2103.17239), over a KV cache; no norm behind the last layer.
#pragma once

#include "blocks/attention.h"
#include "blocks/mlp.h"

#include <vector>

namespace omni {

struct scaled_stack_hparams {
    int64_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim;
    float   layer_norm_eps, rope_theta;

    static scaled_stack_hparams read(const gguf_keys & kv);
    int64_t kv_width() const { return n_head_kv * head_dim; }
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
