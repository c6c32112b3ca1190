// The loop around a register tile, without intrinsics: rows in tiles of nearly equal size, each over all the cells.
#pragma once

#include "kernels/conv.h"

namespace {

// A tile's view of the cells it works on, one after another.
struct cell_walk {
    const omni::conv_product & p;
    const char * tile;  // the first row's cells
    int64_t tap, block;

    cell_walk(const omni::conv_product & p, int64_t row)
        : p(p), tile(p.cells + row * omni::conv_cell_bytes), tap(p.first / p.n_blocks), block(p.first % p.n_blocks) {}

    const char * next() {
        const char * cell = tile + p.tap_bytes[tap] + block * p.block_bytes;
        if (++block == p.n_blocks) {
            block = 0;
            tap++;
        }
        return cell;
    }
};

using tile_function = void (*)(const omni::conv_product & p, int64_t row);

// tiles[n - 1] works on n rows.
template <long max_rows> inline void multiply_rows(const omni::conv_product & p, const tile_function (&tiles)[max_rows]) {
    const int64_t n_tiles = (p.n_rows + max_rows - 1) / max_rows;
    for (int64_t i = 0; i < n_tiles; i++) {
        const int64_t from = p.n_rows * i / n_tiles, to = p.n_rows * (i + 1) / n_tiles;
        tiles[to - from - 1](p, from);
    }
}

} // namespace
