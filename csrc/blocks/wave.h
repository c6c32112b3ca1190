// The wave decoder: latent steps to samples, by transposed convolutions with dilated residual units between them
// (DAC, arXiv 2306.06546, with SnakeBeta and causal convolutions).
#pragma once

#include "blocks/conv1d.h"
#include "blocks/snake.h"

#include <string>
#include <vector>

namespace omni {

// x + conv2(snake2(conv1(snake1(x)))), conv2 of kernel 1.
struct residual_unit {
    residual_unit(const loader & l, int64_t n_channels, int64_t kernel, int64_t dilation);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    snake            snake1;
    causal_conv1d    conv1;
    snake            snake2;
    pointwise_conv1d conv2;
};

struct wave_block_hparams {
    int64_t n_in, n_out, stride;  // the kernel of the transposed convolution is two strides
    int64_t residual_kernel;
    std::vector<int32_t> dilations;  // one residual unit each
    bool trimmed;  // the transposed convolution gives nothing for a stream's first stride: see its `cut`
};

struct wave_block {
    wave_block(const loader & l, const wave_block_hparams & hp);

    // [n_in, T] -> [n_out, T * stride], a stride less where a trimmed stream starts. Taps, time fastest: {name}.snake, {name}.conv, {name}.res.{j}, {name}.out
    ggml_tensor * build(graph & g, ggml_tensor * x, const std::string & name) const;

    bool              trimmed;
    snake             snake_in;
    transposed_conv1d conv;
    std::vector<residual_unit> units;
};

// A tap of x [n_channels, T] as [T, n_channels], time fastest, which is how convolutions are written about.
ggml_tensor * tap_time_first(graph & g, const std::string & name, ggml_tensor * x);

} // namespace omni
