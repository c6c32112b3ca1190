// The inner loops of a convolution over time, one table of functions per instruction set: rows are packed into cells, a
// panel of outputs is multiplied with them, and what a network does to the sum is done as it is written out. Which rows
// and panels, and on which thread, is the business of conv_run.
#pragma once

#include <cstdint>

namespace omni {

// A cell holds the next channels of one row: 64 bytes, 16 of F32 or 32 of BF16; beyond the last channel are zeros. The
// cells of a block of channels lie together, row by row.
constexpr int64_t conv_cell_bytes = 64;

// SnakeBeta's parameters per channel, or none.
struct conv_snake {
    const float * a = nullptr;
    const float * b = nullptr;
};

// sums[row][output] += over cells [first, last) of the product of a row's cell with its piece of the panel. A cell is
// number tap * n_blocks + block. The order of a sum is that of the cells and, within one, of the channels (in BF16: of
// pairs of them), whatever the number of rows.
struct conv_product {
    const char *    cells;        // of the first row: block 0, tap 0
    int64_t         block_bytes;  // from a block of channels to the next
    const int64_t * tap_bytes;    // from tap 0 to each tap
    int64_t         n_blocks;     // of a tap
    int64_t         first, last;
    const char *    panel;        // the piece of cell `first`; a piece is [channels of a cell][width]
    float *         sums;         // [rows][width]
    int64_t         n_rows;
};

// What is done to the sums of a panel: bias, snake, the addition of a residual, each where it is not NULL.
struct conv_finish {
    const float * sums;           // [n_rows][width]
    int64_t       n_rows, n_outs; // of the panel
    const float * bias;           // [n_outs]
    conv_snake    snake;          // [n_outs]
    const float * residual;       // [n_rows][row_floats]
    float *       out;            // the same
    int64_t       row_floats;
};

struct conv_kernels {
    const char * name;
    bool         bf16;            // what cells and panels hold
    int64_t      width;           // outputs of a panel
    int64_t      spare_rows;      // rows behind the last that `multiply` may read and add to
    void (*begin)();              // on each thread, before a run of products and after it; or NULL
    void (*end)();
    void (*multiply)(const conv_product & p);
    // One row of n channels into its cells, `block_bytes` apart, through a snake where there is one.
    void (*pack)(char * cells, int64_t block_bytes, const float * row, int64_t n, conv_snake snake);
    void (*finish)(const conv_finish & f);
    void (*snake_row)(float * y, const float * x, const float * a, const float * b, int64_t n);
    const conv_kernels * narrow;  // for a convolution of one output, in F32
};

// NULL where the compiler cannot make them.
extern const conv_kernels * const conv_scalar, * const conv_avx2, * const conv_avx512, * const conv_avx512_bf16, * const conv_amx,
    * const conv_neon;

} // namespace omni
