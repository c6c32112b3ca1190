#include "blocks/decoder_trunk.h"

#include "blocks/norm.h"
#include "core/error.h"

#include <algorithm>

namespace omni {

static const int64_t max_steps_back = 1 << 16, max_hop = 1 << 20;  // far more than any real codec has

// The product of rates and ratios; a file's sizes may be anything, so it stops where no size can follow.
static int64_t product(const decoder_trunk_hparams & hp) {
    int64_t n = 1;
    for (const auto * factors : {&hp.upsampling_ratios, &hp.upsample_rates}) {
        for (int32_t f : *factors) {
            n = n > INT32_MAX / f ? INT32_MAX : n * f;
        }
    }
    return n;
}

decoder_trunk_hparams::decoder_trunk_hparams(const gguf_keys & kv, const decoder_trunk_form & form)
    : transformer_hparams(kv), form(form), sample_rate(kv.size("sample_rate")), hop(kv.size("hop")),
      latent_dim(form.projected ? kv.size("latent_dim") : n_embd), decoder_dim(kv.size("decoder_dim")),
      window(kv.size("window")), rms_eps(kv.above_zero("rms_eps")), layer_norm_eps(kv.above_zero("layer_norm_eps")),
      upsample_rates(kv.sizes("upsample_rates")), upsampling_ratios(kv.sizes("upsampling_ratios")),
      residual_dilations(kv.sizes("residual_dilations")), dwconv_kernel(kv.size("dwconv_kernel")),
      conv_kernel(kv.size("conv_kernel")), residual_kernel(kv.size("residual_kernel")) {
    const char * path = kv.file().path().c_str();
    const size_t n_blocks = upsample_rates.size();
    if (n_blocks > 30 || decoder_dim % (int64_t(1) << n_blocks) != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: decoder_dim is %lld, expected a multiple of 2 to the number of upsample_rates, %zu", path,
             (long long) decoder_dim, n_blocks);
    }
    // No tensor's shape holds these back, and memory grows with them: the state of a stream, and a frame's graph.
    if (window > max_steps_back) {
        fail(OMNI_ERROR_FORMAT, "%s: window is %lld, expected at most %lld", path, (long long) window, (long long) max_steps_back);
    }
    for (int32_t dilation : residual_dilations) {
        if ((residual_kernel - 1) * dilation > max_steps_back) {
            fail(OMNI_ERROR_FORMAT, "%s: residual_dilations holds %d, expected at most %lld for a residual_kernel of %lld", path,
                 dilation, (long long) (max_steps_back / (residual_kernel - 1)), (long long) residual_kernel);
        }
    }
    if (hop > max_hop) {
        fail(OMNI_ERROR_FORMAT, "%s: hop is %lld, expected at most %lld", path, (long long) hop, (long long) max_hop);
    }
    if (hop != product(*this)) {
        fail(OMNI_ERROR_FORMAT, "%s: hop is %lld, expected %lld, the product of upsample_rates and upsampling_ratios", path,
             (long long) hop, (long long) product(*this));
    }
    if (lead() >= hop) {  // else a wave block would have to work on nothing
        fail(OMNI_ERROR_FORMAT, "%s: upsample_rates take the first %lld samples of %lld away, expected some to be left of a "
             "stream's first row", path, (long long) lead(), (long long) hop);
    }
}

int64_t decoder_trunk_hparams::lead() const {
    int64_t n = 0;  // at most twice the hop, which fits
    for (int32_t rate : upsample_rates) {
        n = form.trimmed ? (n + 1) * rate : 0;
    }
    return n;
}

decoder_trunk::layer::layer(const loader & l, const decoder_trunk_hparams & hp)
    : attn_norm(l.f32("attn_norm.weight", {hp.n_embd})), attn_scale(l.f32("attn_scale.weight", {hp.n_embd})),
      ffn_norm(l.f32("ffn_norm.weight", {hp.n_embd})), ffn_scale(l.f32("ffn_scale.weight", {hp.n_embd})), attn(l, hp.attention()),
      gate(l, "ffn_gate.weight", "", hp.n_embd, hp.n_ff), up(l, "ffn_up.weight", "", hp.n_embd, hp.n_ff),
      down(l, "ffn_down.weight", "", hp.n_ff, hp.n_embd) {}

ggml_tensor * decoder_trunk::layer::build(graph & g, ggml_tensor * x, const window_inputs & in, float eps) const {
    ggml_tensor * y = attn.build(g, rms_norm(g, x, attn_norm, eps), in);
    x = ggml_add(g.ctx, x, ggml_mul(g.ctx, y, attn_scale));
    y = rms_norm(g, x, ffn_norm, eps);
    y = down.build(g, ggml_swiglu_split(g.ctx, gate.build(g, y), up.build(g, y)));
    return ggml_add(g.ctx, x, ggml_mul(g.ctx, y, ffn_scale));
}

decoder_trunk::upsampling::upsampling(const loader & l, int64_t n_channels, int64_t ratio, int64_t kernel, float eps)
    : conv(l.scope("conv"), n_channels, n_channels, ratio, ratio), mix(l, n_channels, kernel, eps) {}

decoder_trunk::decoder_trunk(const loader & l, const decoder_trunk_hparams & hp)
    : hp(hp), norm(l.f32("output_norm.weight", {hp.n_embd})), window(l, hp.window),
      conv_in(l.scope("conv_in"), hp.latent_dim, hp.decoder_dim, hp.conv_kernel),
      snake_out(l.scope("snake_out"), hp.last_dim()), conv_out(l.scope("conv_out"), hp.last_dim(), 1, hp.conv_kernel) {
    if (hp.form.projected) {
        in.emplace(l, "input_proj.weight", "input_proj.bias", hp.latent_dim, hp.n_embd);
        out.emplace(l, "output_proj.weight", "output_proj.bias", hp.n_embd, hp.latent_dim);
    }
    for (int64_t i = 0; i < hp.n_layer; i++) {
        layers.emplace_back(l.scope("blk").scope(i), hp);
    }
    for (size_t i = 0; i < hp.upsampling_ratios.size(); i++) {
        ups.emplace_back(l.scope("up").scope(int64_t(i)), hp.latent_dim, hp.upsampling_ratios[i], hp.dwconv_kernel, hp.layer_norm_eps);
    }
    for (size_t i = 0; i < hp.upsample_rates.size(); i++) {
        const wave_block_hparams block{hp.decoder_dim >> i, hp.decoder_dim >> (i + 1), hp.upsample_rates[i], hp.residual_kernel,
                                       hp.residual_dilations, hp.form.trimmed};
        waves.emplace_back(l.scope("wave").scope(int64_t(i)), block);
    }
}

ggml_tensor * decoder_trunk::build(graph & g, ggml_tensor * x) const {
    const window_inputs seen = window.build(g, x->ne[1]);
    x = in ? in->build(g, x) : x;                                                     // [n_embd, T]
    for (const layer & l : layers) {
        x = l.build(g, x, seen, hp.rms_eps);
    }
    x = rms_norm(g, x, norm, hp.rms_eps);
    x = g.tap("transformer", out ? out->build(g, x) : x);                           // [latent_dim, T]
    for (size_t i = 0; i < ups.size(); i++) {
        const std::string name = "up." + std::to_string(i);
        x = tap_time_first(g, name + ".conv", ups[i].conv.build(g, x));              // [latent_dim, T * ratio]
        x = tap_time_first(g, name + ".out", ups[i].mix.build(g, x));
    }
    x = tap_time_first(g, "conv_in", conv_in.build(g, x));                           // [decoder_dim, ..]
    const bool whole = !g.cpu || !conv_out.fused || g.key.start || g.wants_any();
    const wave_cut cut = whole ? wave_cut{waves.size(), 1} : cut_waves(x->ne[1]);
    for (size_t i = 0; i < cut.n_whole; i++) {
        x = waves[i].build(g, x, "wave." + std::to_string(i));
    }
    const int64_t n_rows = x->ne[1];
    ggml_tensor * pcm = nullptr;
    for (int64_t j = 0; j < cut.n_pieces; j++) {
        const int64_t from = n_rows * j / cut.n_pieces, to = n_rows * (j + 1) / cut.n_pieces;
        ggml_tensor * y = cut.n_pieces == 1 ? x : steps(g, x, from, to - from);
        for (size_t i = cut.n_whole; i < waves.size(); i++) {
            y = waves[i].build(g, y, "wave." + std::to_string(i));
        }
        y = tap_time_first(g, "pcm_raw", conv_out.build(g, y, {&snake_out, nullptr, nullptr}));  // [1, T * hop - lead], or a part
        pcm = pcm ? join(g, pcm, y) : y;
    }
    return ggml_clamp(g.ctx, pcm, -1.0f, 1.0f);
}

decoder_trunk::wave_cut decoder_trunk::cut_waves(int64_t n_steps) const {
    const int64_t max_whole = 2 << 20, max_piece = 1 << 20, max_pieces = 16;  // bytes that a block gives
    wave_cut cut{waves.size(), 1};
    int64_t rows = n_steps;
    for (size_t i = 0; i < waves.size(); i++) {
        rows *= hp.upsample_rates[i];
        const int64_t bytes = rows * (hp.decoder_dim >> (i + 1)) * int64_t(sizeof(float));
        if (bytes > max_whole && cut.n_whole == waves.size()) {
            cut.n_whole = i;
        }
        if (cut.n_whole < waves.size()) {
            cut.n_pieces = std::min({std::max(cut.n_pieces, (bytes + max_piece - 1) / max_piece), max_pieces, n_steps});
        }
    }
    return cut;
}

size_t decoder_trunk::max_nodes(int64_t n_rows) const {
    for (int32_t ratio : hp.upsampling_ratios) {
        n_rows *= ratio;
    }
    const size_t piece = waves.size() * (4 + 2 * hp.residual_dilations.size()) * 8;  // where a convolution is one node
    const size_t conv = 32;  // a generous bound for one block that owns a convolution, its taps included
    const size_t wide = conv + 4 * size_t(hp.dwconv_kernel);
    return layers.size() * 96 + ups.size() * (2 * conv + wide) + waves.size() * (2 * conv + hp.residual_dilations.size() * 3 * conv) + 256 +
           size_t(cut_waves(n_rows).n_pieces) * piece;
}

} // namespace omni
