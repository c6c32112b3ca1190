// Attention's inner loops: queries against rows of keys, scores into weights, weights against values, straight from a
// cache of type F32, F16 or Q8_0. Each result is defined to the last bit, so all instruction sets, numbers of queries and
// cuts of the work give the same bits:
// - A product of floats has 16 partial sums, of every 16th number each, p[j] = fma(a, b, p[j]). They go together as
//   s[j] = (p[j] + p[j + 8]) + (p[j + 4] + p[j + 12]), then (s[0] + s[2]) + (s[1] + s[3]). Halves are widened, not the
//   other side rounded.
// - Keys of Q8_0 meet a query that is quantised as they are (kernels/panel.h).
// - Positions go by in blocks, each with its own maximum: a score becomes exp(score - maximum). Then the blocks' maxima
//   and sums give one factor a block.
// - Values of F32 and F16 lie by channel, and are products as above. Those of Q8_0 lie by position: of each value_group
//   positions, counted from the first, the weights times the blocks' scales become whole numbers of 16 bits under one scale,
//   q = rint(c * (32767 / max |c|)), and y = fma(sum of q * v, max |c| / 32767, y). Next to the 8 bits of the values
//   that is nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace omni {

constexpr int64_t attend_block = 128;  // positions under one maximum
constexpr int64_t value_group  = 64;   // and of Q8_0 under one scale; weights are zero up to a multiple of it
constexpr float   least_weight = 1e-30f;  // a largest |c| below it counts as none
constexpr int64_t attend_unit  = 16;   // numbers of a product: a multiple of it

// For one type of cache on one CPU.
struct attend_kernel {
    int32_t type;
    bool    by_channel;  // values of one channel lie together: v_stride is from channel to channel, else between positions
    size_t (*ready_bytes)(int32_t type, int64_t n);   // of a query
    void (*ready)(int32_t type, const float * q, int64_t n, char * out);
    // scores[i * stride + p] = key p of n, k_stride apart, times query i of n_x ready ones, x_stride apart.
    void (*look)(int32_t type, const char * k, size_t k_stride, int64_t n, int64_t head_dim, const char * x, size_t x_stride, int64_t n_x,
                 float * scores, int64_t stride);
    // y[i * y_stride + e] = sum over n positions of weights[i * stride + p] * value p of channel e, of n_channels (a multiple of
    // 32). Values by position may go by in several calls of whole groups; those behind the first add `more`.
    void (*mix)(const char * v, size_t v_stride, int64_t n, int64_t n_channels, const float * weights, int64_t stride, int64_t n_x, float * y,
                int64_t y_stride, bool more);
};

// look is nullptr where there is none for this type and size.
attend_kernel find_attend(int32_t type, int64_t head_dim);

// n scores of one block -> exp(x - *top), their maximum and their sum.
void weigh_block(float * x, int64_t n, float * top, float * sum);

// A row of n such numbers and its blocks' maxima and sums -> weights, which add up to 1, then zeros up to n_out.
void weigh_row(const float * x, int64_t n, const float * tops, const float * sums, float * out, int64_t n_out);

// What an instruction set's file offers: mix is nullptr where it has nothing for a type. look is nullptr for Q8_0, whose
// keys are a matrix like any other.
attend_kernel attend_scalar(int32_t type);
attend_kernel attend_avx2(int32_t type);
attend_kernel attend_avx512(int32_t type);
attend_kernel attend_neon(int32_t type);

} // namespace omni
