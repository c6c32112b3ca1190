// Grouped-query attention over a KV cache, with per-head q/k norm where asked for (Qwen3, arXiv 2505.09388).
#pragma once

#include "blocks/kv_cache.h"

namespace omni {

struct attention_hparams {
    int64_t n_embd, n_head, n_head_kv, head_dim;
    float   rms_eps, rope_theta;
    bool    qk_norm = true;
};

struct attention {
    attention(const loader & l, const attention_hparams & hp);

    ggml_tensor * build(graph & g, ggml_tensor * x, const kv_inputs & in) const;  // [n_embd, n * n_lanes], the same out

    attention_hparams hp;
    ggml_tensor *q, *k, *v, *o, *q_norm, *k_norm;  // the norms nullptr without qk_norm
    kv_cache cache;
};

} // namespace omni
