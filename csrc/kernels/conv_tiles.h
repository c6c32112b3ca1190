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

// What the next call will read of the panel, asked of memory while the first tile works: with few rows a panel is read
// once, and memory is what takes the time. Other tiles stay where they are.
struct prefetch_walk {
    const char * at;
    long         bytes;  // of the panel for one channel, or a pair

    prefetch_walk(const omni::conv_product & p, int64_t row, long width)
        : at(p.panel + (row == 0 ? (p.last - p.first) * width * omni::conv_cell_bytes : 0)), bytes(row == 0 ? 4 * width : 0) {}

    void step() { at += bytes; }
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
