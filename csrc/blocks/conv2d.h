// Strided convolutions over images, in exact F32. Places of an image are rows, x [n_channels, h * w], column by column:
// a place's channels lie together, then the places of a column. No state: the whole image is there at once.
#pragma once

#include "core/graph.h"

namespace omni {

struct image {
    ggml_tensor * x;     // [n_channels, h * w], place (i, j) at j * h + i
    int64_t       h, w;
};

struct conv2d_hparams {
    int64_t kernel, stride, pad;  // the same along both axes

    // Places that are left of n along an axis; kernel at most n + 2 * pad.
    int64_t n_out(int64_t n) const { return (n + 2 * pad - kernel) / stride + 1; }
};

// y[i, j] = b + sum over di, dj of W[dj, di] x[i * stride + di - pad, j * stride + dj - pad], zero outside the image.
struct conv2d {
    conv2d(const loader & l, int64_t n_in, int64_t n_out, const conv2d_hparams & hp);

    image build(graph & g, const image & in) const;  // n_in channels in, n_out out

    int64_t        n_in, n_out;
    conv2d_hparams hp;
    ggml_tensor *  w, *b;  // [n_in, kernel (h), kernel (w), n_out], [n_out]
};

} // namespace omni
