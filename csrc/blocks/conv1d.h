// Causal convolutions over time, in exact F32. Rows are time steps: x [n_channels, T], the channels of a step together.
// Each owns, as stream state, what the next call needs of this one, so any cut of a signal into calls gives the same
// result. Kernels lie that way too: the channels of a tap together. On the CPU a convolution is one node (fused_conv.h),
// with what is around it; elsewhere a chain of ggml's.
#pragma once

#include "blocks/fused_conv.h"
#include "blocks/left_context.h"

#include <optional>

namespace omni {

// y[t] = b + sum over k of W[k] x[t * stride + stride - 1 - (kernel - 1 - k) * dilation]. Calls take whole strides, and
// the kernel, dilated, is at least a stride long.
struct causal_conv1d {
    causal_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t dilation = 1, int64_t stride = 1);

    ggml_tensor * build(graph & g, ggml_tensor * x, const conv_around & around = {}) const;  // [n_in, T] -> [n_out, T / stride]

    int64_t      n_in, n_out, kernel, dilation, stride;
    std::optional<fused_conv> fused;
    ggml_tensor *w, *b;  // [n_in, kernel, n_out] where it is not fused, [n_out]
    left_context past;   // behind the snake before it
};

// A convolution with neither padding nor memory nor bias: it sees what it is given.
struct valid_conv1d {
    valid_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t stride);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_in, (T - 1) * stride + kernel] -> [n_out, T]

    int64_t      n_in, n_out, kernel, stride;
    std::optional<fused_conv> fused;
    ggml_tensor *w;  // [n_in, kernel, n_out] where it is not fused
};

// The causal one with one kernel per channel, of stride 1.
struct depthwise_conv1d {
    depthwise_conv1d(const loader & l, int64_t n_channels, int64_t kernel);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    int64_t      n_channels, kernel;
    ggml_tensor *w, *b;  // [n_channels, kernel], [n_channels]
    left_context past;
};

// A convolution of one output step: a product with a vector, in the file a matrix.
struct pointwise_conv1d {
    pointwise_conv1d(const loader & l, int64_t n_in, int64_t n_out);  // of weight and bias, in floats
    // Of a matrix by its name, which may be of any type, and without a bias where that has no name.
    pointwise_conv1d(const loader & l, const std::string & weight, const std::string & bias, int64_t n_in, int64_t n_out);

    ggml_tensor * build(graph & g, ggml_tensor * x, const conv_around & around = {}) const;  // [n_in, T] -> [n_out, T]

    std::optional<fused_conv> fused;
    ggml_tensor *w, *b;  // [n_in, n_out] where it is not fused, [n_out] or nullptr
};

// Each input step adds `kernel` output steps, `stride` after those of the step before. The kernel is one or two strides
// long. With two, half of what a step adds belongs to the next one: that is the state. `cut` is for the first call of a
// stream whose start is trimmed: its first kernel - stride output steps are not there, and T is at least 2.
struct transposed_conv1d {
    transposed_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t stride);

    // [n_in, T] -> [n_out, T * stride], or with `cut` [n_out, T * stride - (kernel - stride)]
    ggml_tensor * build(graph & g, ggml_tensor * x, bool cut = false, const snake * before = nullptr) const;

    int64_t      n_in, n_out, kernel, stride;
    std::optional<fused_conv> fused;  // as one of one or two taps that gives the outputs of a whole stride
    ggml_tensor *w, *b;  // [n_in, n_out, kernel] where it is not fused, [n_out]
    state_slot   overlap = -1;  // [n_out * stride], before the bias
};

} // namespace omni
