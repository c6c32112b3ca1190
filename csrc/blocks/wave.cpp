#include "blocks/wave.h"

namespace omni {

ggml_tensor * tap_time_first(graph & g, const std::string & name, ggml_tensor * x) {
    g.tap(name, ggml_transpose(g.ctx, x));
    return x;
}

residual_unit::residual_unit(const loader & l, int64_t n_channels, int64_t kernel, int64_t dilation)
    : snake1(l.scope("snake1"), n_channels), conv1(l.scope("conv1"), n_channels, n_channels, kernel, dilation),
      snake2(l.scope("snake2"), n_channels), conv2(l.scope("conv2"), n_channels, n_channels) {}

ggml_tensor * residual_unit::build(graph & g, ggml_tensor * x) const {
    return conv2.build(g, conv1.build(g, x, {&snake1, &snake2, nullptr}), {nullptr, nullptr, x});
}

wave_block::wave_block(const loader & l, const wave_block_hparams & hp)
    : trimmed(hp.trimmed), snake_in(l.scope("snake"), hp.n_in), conv(l.scope("conv"), hp.n_in, hp.n_out, 2 * hp.stride, hp.stride) {
    for (size_t j = 0; j < hp.dilations.size(); j++) {
        units.emplace_back(l.scope("res").scope(int64_t(j)), hp.n_out, hp.residual_kernel, hp.dilations[j]);
    }
}

ggml_tensor * wave_block::build(graph & g, ggml_tensor * x, const std::string & name) const {
    if (g.wants(name + ".snake")) {  // which else has no node of its own where the convolution does it all
        tap_time_first(g, name + ".snake", snake_in.build(g, x));
    }
    x = tap_time_first(g, name + ".conv", conv.build(g, x, trimmed && g.key.start, &snake_in));
    for (size_t j = 0; j < units.size(); j++) {
        x = tap_time_first(g, name + ".res." + std::to_string(j), units[j].build(g, x));
    }
    return tap_time_first(g, name + ".out", x);
}

} // namespace omni
