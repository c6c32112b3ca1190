// What every transformer's constructor reads first, with the checks that go with it.
#pragma once

#include "core/gguf.h"

namespace omni {

struct transformer_hparams {
    explicit transformer_hparams(const gguf_keys & kv, bool dense = true);  // without dense layers n_ff is 0, and no key

    int64_t kv_width() const { return n_head_kv * head_dim; }

    int64_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim;
    float   rope_theta;
};

} // namespace omni
