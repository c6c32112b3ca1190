// Products of a matrix with rows: the weights are read once for all of them, straight from ggml's blocks. What comes
// out for a row has the same bits however many rows are in the call and however the matrix is cut into pieces. Rows are
// rounded as ggml rounds them for the same weights, so that both differ by the order of their sums and by nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

namespace omni {

// For one type of weights on one CPU. A row is made ready once (quantised, or put in the order of the weights) and then
// multiplied with many rows of the matrix.
struct matvec {
    int32_t type;    // ggml_type, for the kernels that serve several
    int64_t unit;    // n_in must be a multiple of it
    size_t (*ready_bytes)(int32_t type, int64_t n_in);
    void (*ready)(int32_t type, const float * x, int64_t n_in, char * out);
    // y[i * y_stride + r] = weight row r (w_stride bytes apart) times row i of n_x ready ones (x_stride bytes apart).
    void (*multiply)(int32_t type, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x,
                     size_t x_stride, int64_t n_x, float * y, int64_t y_stride);
    int64_t lanes = 0;   // rows of the matrix that it takes at once, where any number of rows of x is as good as few; else 0
};

// The one for this type, made for this CPU where there is one, else over ggml's dot product; multiply is nullptr where
// ggml has none either.
matvec find_matvec(int32_t type, int64_t n_in);
matvec ggml_matvec(int32_t type, int64_t n_in);  // over ggml's dot product, whatever else there is

// silu(gate) * up, and x / sqrt(mean(x^2) + eps) * w, of n each.
void swiglu(const float * gate, const float * up, float * out, int64_t n);
void rms_norm_row(const float * x, const float * w, float eps, float * out, int64_t n);

// softmax(x * scale) in place.
void softmax_row(float * x, int64_t n, float scale);

// What an instruction set's file offers: multiply is nullptr for a type it has nothing for.
matvec matvec_scalar(int32_t type);
matvec matvec_avx2(int32_t type);
matvec matvec_avx512(int32_t type);

// out[i] = exp(x[i] - top), on AVX2 where there is.
void exp_scalar(const float * x, float top, float * out, int64_t n);
void exp_avx2(const float * x, float top, float * out, int64_t n);

} // namespace omni
