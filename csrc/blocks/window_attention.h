// Causal attention over a window of the newest positions, for streams without end. The keys and values of the window
// are stream state.
#pragma once

#include "blocks/conv1d.h"

namespace omni {

struct window_hparams {
    int64_t n_embd, n_head, n_head_kv, head_dim;
    int64_t window;  // keys a query sees, itself included
    float   rope_theta;
};

// What every layer of a graph shares.
struct window_inputs {
    ggml_tensor * key_pos;    // I32 [window - 1 + T]
    ggml_tensor * query_pos;  // I32 [T], the last of them
    ggml_tensor * mask;       // F32 [window - 1 + T, T]: 0 where a query sees a key, else -inf
};

// Which of the earlier positions are there yet: a zero key is not neutral, a masked one is.
struct window_mask {
    window_mask(const loader & l, int64_t window);

    window_inputs build(graph & g, int64_t n_steps) const;

    int64_t      window;
    left_context filled;  // [1, window - 1]: 1, or 0 before the stream began
};

// Keys are kept before their rotation and turned anew in each call, counted from the oldest: only differences of
// positions matter, so angles stay small however long the stream is.
struct window_attention {
    window_attention(const loader & l, const window_hparams & hp);

    ggml_tensor * build(graph & g, ggml_tensor * x, const window_inputs & in) const;  // [n_embd, T] -> the same

    window_hparams hp;
    pointwise_conv1d q, k, v, o;
    left_context   keys, values;  // [n_head_kv * head_dim, window - 1]
};

} // namespace omni
