#include "blocks/conv2d.h"

#include "blocks/linear.h"

namespace omni {

conv2d::conv2d(const loader & l, int64_t n_in, int64_t n_out, const conv2d_hparams & hp)
    : n_in(n_in), n_out(n_out), hp(hp), w(l.f32("weight", {n_in, hp.kernel, hp.kernel, n_out})), b(l.f32("bias", {n_out})) {}

image conv2d::build(graph & g, const image & in) const {
    const int64_t h = hp.n_out(in.h), w_out = hp.n_out(in.w), n_taps = hp.kernel * hp.kernel;
    // One lookup lays out what stands under the kernel at each place: whole rows of channels are copied, where im2col
    // would gather single numbers. The row behind the last is zero and stands for everything outside.
    const int64_t outside = in.h * in.w;
    std::vector<int32_t> under;
    under.reserve(size_t(n_taps * h * w_out));
    for (int64_t j = 0; j < w_out; j++) {
        for (int64_t i = 0; i < h; i++) {
            for (int64_t dj = 0; dj < hp.kernel; dj++) {
                for (int64_t di = 0; di < hp.kernel; di++) {
                    const int64_t row = i * hp.stride + di - hp.pad, column = j * hp.stride + dj - hp.pad;
                    const bool inside = row >= 0 && row < in.h && column >= 0 && column < in.w;
                    under.push_back(int32_t(inside ? column * in.h + row : outside));
                }
            }
        }
    }
    std::string name = "conv2d";
    for (int64_t n : {in.h, in.w, hp.kernel, hp.stride, hp.pad}) {
        name += "." + std::to_string(n);
    }
    ggml_tensor * rows    = ggml_pad(g.ctx, in.x, 0, 1, 0, 0);                              // [n_in, h * w + 1]
    ggml_tensor * windows = ggml_get_rows(g.ctx, rows, g.constant(name, under));            // [n_in, n_taps * h' * w']
    ggml_tensor * columns = ggml_reshape_2d(g.ctx, windows, n_in * n_taps, h * w_out);
    return {linear(g, ggml_reshape_2d(g.ctx, w, n_in * n_taps, n_out), columns, b, 1), h, w_out};
}

} // namespace omni
