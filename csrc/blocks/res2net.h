// SE-Res2Net block (Res2Net, arXiv 1904.01169, with squeeze and excitation, arXiv 1709.01507, as ECAPA-TDNN joins
// them, arXiv 2005.07143). Rows are time steps: x [n_channels, T].
#pragma once

#include "blocks/conv1d.h"
#include "blocks/same_conv1d.h"

#include <vector>

namespace omni {

// Channels of each part one after the other: [n_i, T] of the same T -> [sum of n_i, T]. Parts may be views.
ggml_tensor * join_channels(graph & g, const std::vector<ggml_tensor *> & parts);

// Scales each channel by a gate made from its mean over time: x * sigmoid(W2 relu(W1 mean(x))).
struct squeeze_excitation {
    squeeze_excitation(const loader & l, int64_t n_channels, int64_t n_squeezed);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same

    pointwise_conv1d squeeze, excite;
};

struct res2net_hparams {
    int64_t n_channels;  // a multiple of scale
    int64_t kernel, dilation;
    int64_t scale;       // groups of channels; the first passes through
    int64_t n_squeezed;
};

struct res2net_block {
    res2net_block(const loader & l, const res2net_hparams & hp);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_channels, T] -> the same
    size_t        max_nodes() const { return 8 * parts.size() + 64; }

    res2net_hparams          hp;
    pointwise_conv1d         tdnn1, tdnn2;
    std::vector<same_conv1d> parts;  // of the second group and on; each sees the sum of its group and the one before
    squeeze_excitation       gate;
};

} // namespace omni
