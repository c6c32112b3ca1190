// Keys and values of one attention layer, for every lane of a session. Rows are written where the host says; what is
// read is the live part, in whole blocks, with a mask over the rows that are not there yet.
#pragma once

#include "blocks/rope.h"
#include "core/graph.h"
#include "core/session.h"

#include <string>
#include <vector>

namespace omni {

// Graph inputs that every layer shares. `step` tells apart several decodes inside one graph.
struct kv_inputs {
    ggml_tensor * pos;     // I32 [n * n_lanes]
    ggml_tensor * turns;   // F32 [head_dim, n * n_lanes] where positions have several axes, and then in place of pos
    ggml_tensor * k_rows;  // I64 [n * n_lanes]: where each row's keys go
    ggml_tensor * v_rows;  // I64 [width * n * n_lanes]: where each row's values go, one by one (they lie transposed)
    ggml_tensor * mask;    // F32 [n_kv, n, 1, n_lanes]: 0 or -inf
    ggml_tensor * mask16 = nullptr;  // the same in F16, where the cache is quantised
    int64_t       n, n_lanes, n_kv;

    static kv_inputs make(graph & g, int64_t n, int64_t n_kv, int64_t width, int64_t step = 0, const rope_axes * axes = nullptr);
};

// The host's side of the same inputs. For each lane of [lane0, lane0 + n_past.size()): n rows from position n_past on;
// n_past -1 marks an idle lane between two live ones, whose row goes to the spare last one of the cache.
class kv_feed {
  public:
    kv_feed(const session & s, int64_t lane0, const std::vector<int64_t> & n_past, int64_t n, int64_t n_kv, int64_t width,
            int64_t step = 0);
    // Positions of several axes, [n * n_lanes, n_axes]; nullptr: each row's place in the cache, on all of them.
    void turn(const rope_axes & axes, const float * positions);
    void append(std::vector<feed> & in) const;

  private:
    std::string          names_[5];
    std::vector<int32_t> pos_;
    std::vector<int64_t> k_rows_, v_rows_;
    std::vector<float>   mask_, turns_;
};

struct kv_cache {
    kv_cache(const loader & l, int64_t n_head_kv, int64_t head_dim);

    void write(graph & g, ggml_tensor * k, ggml_tensor * v, const kv_inputs & in) const;  // k, v [width, n * n_lanes]
    ggml_tensor * keys(graph & g, const kv_inputs & in) const;    // [head_dim, n_kv, n_head_kv, n_lanes]
    ggml_tensor * values(graph & g, const kv_inputs & in) const;  // [n_kv, head_dim, n_head_kv, n_lanes]; quantised as keys
    bool quantised(const graph & g) const { return ggml_is_quantized(g.state_lanes(k)->type); }

    int64_t    n_head_kv, head_dim;
    state_slot k, v;
};

} // namespace omni
