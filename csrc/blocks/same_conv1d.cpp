#include "blocks/same_conv1d.h"

#include "blocks/linear.h"

#include <cstdlib>

namespace omni {

same_conv1d::same_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t dilation)
    : n_in(n_in), n_out(n_out), kernel(kernel), dilation(dilation),
      w(l.f32("weight", {n_in, kernel, n_out})), b(l.f32("bias", {n_out})) {}

ggml_tensor * same_conv1d::build(graph & g, ggml_tensor * x) const {
    const int64_t n_steps = x->ne[1];
    // One lookup lays out the reflected ends and the windows of the kernel: which step stands under tap k of output t.
    std::vector<int32_t> under(size_t(kernel * n_steps));
    for (int64_t t = 0; t < n_steps; t++) {
        for (int64_t k = 0; k < kernel; k++) {
            const int64_t at = std::abs(t + k * dilation - left());
            under[size_t(t * kernel + k)] = int32_t(at < n_steps ? at : 2 * (n_steps - 1) - at);
        }
    }
    const std::string name = "same_conv1d." + std::to_string(kernel) + "." + std::to_string(dilation);
    ggml_tensor * windows = ggml_get_rows(g.ctx, x, g.constant(name, under));        // [n_in, kernel * T]
    ggml_tensor * columns = ggml_reshape_2d(g.ctx, windows, n_in * kernel, n_steps);
    return linear(g, ggml_reshape_2d(g.ctx, w, n_in * kernel, n_out), columns, b, 1);  // [n_out, T]
}

} // namespace omni
