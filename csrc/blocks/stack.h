// The pre-norm decoder stack behind every language model here.
#pragma once

#include "blocks/attention.h"
#include "blocks/hparams.h"
#include "blocks/mlp.h"

#include <vector>

namespace omni {

struct stack_hparams : transformer_hparams {
    explicit stack_hparams(const gguf_keys & kv)
        : transformer_hparams(kv), n_ctx_max(kv.size("n_ctx_max")), rms_eps(kv.above_zero("rms_eps")) {}

    int64_t n_ctx_max;
    float   rms_eps;
};

struct stack {
    stack(const loader & l, const stack_hparams & hp);

    // x [n_embd, n * n_lanes] -> the same, before the output norm. Taps: blk.{i}.out
    ggml_tensor * build(graph & g, ggml_tensor * x, const kv_inputs & in) const;
    size_t max_nodes() const { return size_t(hp.n_layer) * 64 + 64; }

    struct layer {
        layer(const loader & l, const stack_hparams & hp);
        ggml_tensor *attn_norm, *ffn_norm;
        attention  attn;
        swiglu_mlp mlp;
    };

    stack_hparams      hp;
    std::vector<layer> layers;
};

// The last of each lane's n rows: x [n_embd, n * n_lanes] -> [n_embd, n_lanes].
ggml_tensor * last_rows(graph & g, ggml_tensor * x, int64_t n, int64_t n_lanes);

} // namespace omni
