// Rows that two sessions of one device pass each other without the host: of each lane the hidden row that a talker leaves,
// and the sum of embeddings that a code predictor leaves of its frame.
#pragma once

#include "core/loader.h"

#include <memory>

namespace omni {

struct joined_rows {
    joined_rows(std::shared_ptr<const omni::device> d, int64_t n_lanes, int64_t n_hidden, int64_t n_embd);

    // Where lane l is, and where what it leaves goes when it sits out a run of its neighbours.
    int32_t place(int64_t lane, bool idle = false) const { return int32_t(idle ? n_lanes + lane : lane); }

    const std::shared_ptr<const omni::device> device;
    const int64_t n_lanes;
    ggml_tensor * hidden;  // [n_hidden, 2 * n_lanes]
    ggml_tensor * sum;     // [n_embd, 2 * n_lanes]

  private:
    context_ptr ctx_;
    buffer_ptr  buffer_;
};

} // namespace omni
