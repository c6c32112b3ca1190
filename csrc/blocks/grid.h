// Rows that are the places of a grid, as an image's patches are: their order, their learned positions and their rotary
// ones.
#pragma once

#include "core/loader.h"
#include "core/graph.h"

namespace omni {

// Row and column of each place, block after block of merge * merge places: those that are joined lie together.
struct grid_places {
    grid_places(int64_t h, int64_t w, int64_t merge);

    int64_t h, w;
    std::vector<int32_t> row, col;  // [h * w]
};

// A learned table of side * side positions, read between its places (bilinear, corners on corners) by a grid of any
// size.
struct grid_table {
    grid_table(const loader & l, int64_t n_embd, int64_t side);

    ggml_tensor * build(graph & g, const grid_places & at) const;  // [n_embd, h * w]

    ggml_tensor * table;  // [n_embd, side * side]
    int64_t       side;
};

// What every layer needs to turn heads by row and column.
struct grid_turn {
    ggml_tensor * pos;      // I32 [4 * n]: rows, columns, two that are not used
    ggml_tensor * factors;  // F32 [head_dim / 2]: the period of each channel pair
};

grid_turn make_grid_turn(graph & g, const grid_places & at, int64_t n_frames, int64_t head_dim, float theta);

// x [head_dim, n_head, n] -> the first half of the channel pairs turned by row, the others by column; channel j makes
// a pair with channel j + head_dim / 2.
ggml_tensor * turn(graph & g, ggml_tensor * x, const grid_turn & by);

} // namespace omni
