// The streaming decoder behind a codec's front: latent rows, one per frame, to samples. Window transformer, latent
// upsampling, wave decoder; which codes or embeddings the rows come from is the front's business.
#pragma once

#include "blocks/convnext.h"
#include "blocks/hparams.h"
#include "blocks/wave.h"
#include "blocks/window_attention.h"

#include <vector>

namespace omni {

// What no key says: which of its forms a component's trunk has.
struct decoder_trunk_form {
    bool projected;  // the transformer has a width of its own, between two projections; else it is latent_dim
    bool trimmed;    // a wave block gives nothing for a stream's first stride (a trim of both ends of a whole signal)
};

struct decoder_trunk_hparams : transformer_hparams {
    decoder_trunk_hparams(const gguf_keys & kv, const decoder_trunk_form & form);

    decoder_trunk_form form;
    int64_t sample_rate, hop;    // samples per row, once a stream runs
    int64_t latent_dim, decoder_dim, window;
    float   rms_eps, layer_norm_eps;
    std::vector<int32_t> upsample_rates, upsampling_ratios, residual_dilations;
    int64_t dwconv_kernel, conv_kernel, residual_kernel;

    int64_t lead() const;        // samples that a stream's first row falls short of hop
    int64_t last_dim() const { return decoder_dim >> upsample_rates.size(); }
    window_hparams attention() const { return {n_embd, n_head, n_head_kv, head_dim, window, rope_theta}; }
};

struct decoder_trunk {
    decoder_trunk(const loader & l, const decoder_trunk_hparams & hp);

    // x [latent_dim, T] -> samples [1, T * hop], or T * hop - lead where a stream starts, in [-1, 1]. Taps as [n_channels, T], channels fastest: transformer;
    // as [T, n_channels], time fastest: up.{i}.conv, up.{i}.out, conv_in, those of wave.{i}, pcm_raw (before the clamp)
    ggml_tensor * build(graph & g, ggml_tensor * x) const;
    size_t max_nodes(int64_t n_rows) const;  // of x

    // The late wave blocks have few channels and many rows. On the CPU what lies between them is kept in its caches by
    // taking the rows through all of these blocks a piece at a time: a stream does not care how it is cut.
    struct wave_cut {
        size_t  n_whole;   // blocks that take all rows at once
        int64_t n_pieces;  // for the others
    };
    wave_cut cut_waves(int64_t n_steps) const;

    struct layer {
        layer(const loader & l, const decoder_trunk_hparams & hp);
        ggml_tensor * build(graph & g, ggml_tensor * x, const window_inputs & in, float eps) const;
        ggml_tensor *attn_norm, *attn_scale, *ffn_norm, *ffn_scale;
        window_attention attn;
        pointwise_conv1d gate, up, down;
    };

    struct upsampling {
        upsampling(const loader & l, int64_t n_channels, int64_t ratio, int64_t kernel, float eps);
        transposed_conv1d conv;
        convnext          mix;
    };

    decoder_trunk_hparams hp;
    std::optional<pointwise_conv1d> in, out;  // if projected
    ggml_tensor *norm;
    window_mask  window;
    std::vector<layer>      layers;
    std::vector<upsampling> ups;
    causal_conv1d           conv_in;
    std::vector<wave_block> waves;
    snake                   snake_out;
    causal_conv1d           conv_out;
};

} // namespace omni
