// The pre-norm decoder stack behind every language model here.
#pragma once

#include "blocks/attention.h"
#include "blocks/hparams.h"
#include "blocks/mlp.h"
#include "blocks/moe.h"

#include <optional>
#include <vector>

namespace omni {

struct stack_kind {
    bool moe  = false;  // every layer has experts, else none
    bool axes = false;  // positions have several axes
};

struct stack_hparams : transformer_hparams {
    explicit stack_hparams(const gguf_keys & kv, const stack_kind & kind = {});

    const rope_axes * rope() const { return axes ? &*axes : nullptr; }

    int64_t n_ctx_max;
    float   rms_eps;
    std::optional<moe_hparams> moe;
    std::optional<rope_axes>   axes;
};

// What goes into and comes out of a stack between its layers.
struct between_layers {
    std::vector<ggml_tensor *> added;        // [n_embd, n * n_lanes] each, added behind layers 0, 1, ..
    int64_t       accept   = 0;              // how many layers the accepted rows went through
    ggml_tensor * accepted = nullptr;        // those rows, without a norm [n_embd, n * n_lanes]
};

struct stack {
    stack(const loader & l, const stack_hparams & hp);

    // Of n rows a lane, over n_kv live rows; to be fed by kv_feed.
    kv_inputs inputs(graph & g, int64_t n, int64_t step = 0) const;

    // x [n_embd, n * n_lanes] -> the same, before the output norm. Taps: blk.{i}.out
    ggml_tensor * build(graph & g, ggml_tensor * x, const kv_inputs & in, between_layers * between = nullptr) const;
    size_t max_nodes() const { return size_t(hp.n_layer) * (64 + (hp.moe ? moe_mlp::max_nodes(*hp.moe) : 0)) + 64; }

    struct layer {
        layer(const loader & l, const stack_hparams & hp);
        ggml_tensor *attn_norm, *ffn_norm;
        attention attn;
        std::optional<swiglu_mlp> mlp;  // one of the two
        std::optional<moe_mlp>    moe;
    };

    stack_hparams      hp;
    std::vector<layer> layers;
};

// The last of each lane's n rows: x [n_embd, n * n_lanes] -> [n_embd, n_lanes].
ggml_tensor * last_rows(graph & g, ggml_tensor * x, int64_t n, int64_t n_lanes);

} // namespace omni
