// One convolution over time as a whole: rows into cells, panels of outputs, threads.
#pragma once

#include "kernels/conv.h"

#include <atomic>
#include <memory>

namespace omni {

// The kernels of this CPU; those that multiply in BF16 where that is asked for, NULL where the CPU has none.
const conv_kernels * conv_exact();
const conv_kernels * conv_fast();

// Weights as the kernels read them: a panel for every `width` outputs, and in it the pieces of one cell after another.
class conv_panels {
  public:
    static constexpr int64_t max_width = 64;

    // w: output o's weight of channel i, tap k is w[at(o, k) + i].
    template <typename At>
    conv_panels(const conv_kernels * kernels, const float * w, int64_t n_in, int64_t n_taps, int64_t n_out, At at)
        : conv_panels(kernels, n_in, n_taps, n_out) {
        for (int64_t o = 0; o < n_out; o += kernels->width) {
            for (int64_t k = 0; k < n_taps; k++) {
                const float * rows[max_width];
                const int64_t n = n_out - o < kernels->width ? n_out - o : kernels->width;
                for (int64_t j = 0; j < n; j++) {
                    rows[j] = w + at(o + j, k);
                }
                put(o, k, rows, n);
            }
        }
    }

    const conv_kernels * kernels;
    int64_t n_in, n_taps, n_out;
    int64_t n_blocks;     // cells of a row
    int64_t piece_bytes;  // of a panel, for one cell

    int64_t n_panels() const { return (n_out + kernels->width - 1) / kernels->width; }
    int64_t panel_bytes() const { return n_taps * n_blocks * piece_bytes; }
    int64_t n_bytes() const { return n_panels() * panel_bytes(); }
    const char * panel(int64_t i) const { return data_ + i * panel_bytes(); }

  private:
    conv_panels(const conv_kernels * kernels, int64_t n_in, int64_t n_taps, int64_t n_out);
    void put(int64_t o, int64_t k, const float * const * rows, int64_t n);

    std::unique_ptr<char[]> owned_;
    char *                  data_;  // owned, aligned
};

// Work handed out in pieces, for threads that are not equally fast. It is as new again when all have finished.
struct conv_counter {
    std::atomic<int64_t> next{0};
    std::atomic<int>     done{0};
};

// Rows r of seen: past, then x, through the snake if there is one. Output row t: sum over taps k of W[k] times row
// t * stride + k * dilation, to which `carry` is added in row 0; then bias, snake, residual.
struct conv_run {
    const conv_panels * w = nullptr;
    const float * past = nullptr;     // [n_past][n_in]; NULL: zeros
    const float * x    = nullptr;     // [n_rows][n_in], zeros behind it
    int64_t n_past = 0, n_rows = 0, stride = 1, dilation = 1;
    conv_snake snake_in;              // [n_in], of x
    const float * carry = nullptr;    // [n_out]
    const float * bias  = nullptr;    // [n_bias], over and over
    int64_t n_bias = 0;
    conv_snake snake_out;             // [n_out]
    const float * residual = nullptr; // [n_out_rows][n_out]
    float * out = nullptr;            // [n_out_rows][n_out], from output row `from` on
    int64_t from = 0, n_out_rows = 0;
    bool    bare_last = false;        // the last row is the sum as it is
};

// Floats of scratch that each thread needs for it; of `r` only what shapes it.
int64_t conv_scratch_floats(const conv_run & r);

// The share of thread ith of nth; each has scratch of its own.
void conv_compute(const conv_run & r, float * scratch, conv_counter & counter, int ith, int nth);

} // namespace omni
