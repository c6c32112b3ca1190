// Samples to rows: a causal stack of residual units and strided convolutions (SEANet, arXiv 2009.02095; as in SoundStream).
// The signal comes in pieces of whole rows; each convolution carries what the next piece needs, so pieces are exact.
#pragma once

#include "blocks/conv1d.h"

#include <vector>

namespace omni {

struct seanet_hparams {
    int64_t n_filters, compress, n_out;
    int64_t conv_kernel, last_kernel, residual_kernel;
    int64_t n_residual, dilation_growth;  // unit j of a stage has dilation dilation_growth^j
    std::vector<int32_t> strides;         // in order of use; a kernel is two strides, and the channels double

    static seanet_hparams read(const gguf_keys & kv, int64_t n_out);
    int64_t row_samples() const;          // samples per row
};

// x + conv2(elu(conv1(elu(x)))), conv2 of kernel 1, narrower between the two.
struct elu_unit {
    elu_unit(const loader & l, int64_t n_channels, int64_t n_inner, int64_t kernel, int64_t dilation);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    causal_conv1d    conv1;
    pointwise_conv1d conv2;
};

struct seanet {
    seanet(const loader & l, const seanet_hparams & hp);

    // x [1, n], valid [1, n] -> [n_out, n / row_samples]. valid is 1 for a sample and 0 behind the last one of the signal:
    // there each convolution sees zeros, not what its predecessors made of zeros.
    ggml_tensor * build(graph & g, ggml_tensor * x, ggml_tensor * valid) const;
    size_t max_nodes() const;

    struct stage {
        std::vector<elu_unit> units;
        causal_conv1d         down;
    };

    seanet_hparams     hp;
    causal_conv1d      conv_in;
    std::vector<stage> stages;
    causal_conv1d      conv_out;
};

} // namespace omni
