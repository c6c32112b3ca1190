// A feed-forward layer of many experts, of which a router chooses a few for each row (Qwen3, arXiv 2505.09388).
#pragma once

#include "blocks/mlp.h"
#include "core/gguf.h"

#include <optional>

namespace omni {

struct moe_hparams {
    moe_hparams() = default;
    explicit moe_hparams(const gguf_keys & kv);

    int64_t n_expert = 0, n_expert_used = 0, n_ff = 0;
    int64_t n_ff_shared = 0;   // 0: no expert that every row takes
    bool    norm_topk = false;
};

// sum over the n_expert_used most probable experts of p_e * down_e(silu(gate_e(x)) * up_e(x)), p the softmax over all
// experts, divided by the sum of the chosen ones with norm_topk; and sigmoid(w x) * the shared expert, where there is one.
// Taps: as blocks/linear.h of each matrix, and the router's name and .chosen, I32 [n_expert_used, n_rows] as its bits.
// A row's result has the same bits whatever other rows are in the batch, as far as the router's and the shared expert's
// products have (blocks/linear.h): the experts' products are made row by row.
struct moe_mlp {
    moe_mlp(const loader & l, int64_t n_embd, const moe_hparams & hp);

    ggml_tensor * build(graph & g, ggml_tensor * x, int64_t n_lanes) const;  // [n_embd, n * n_lanes], the same out
    static size_t max_nodes(const moe_hparams & hp) { return 40 + 2 * size_t(hp.n_expert_used); }

    moe_hparams   hp;
    ggml_tensor  *router, *gate, *up, *down, *shared_gate = nullptr;
    std::optional<swiglu_mlp> shared;
};

} // namespace omni
