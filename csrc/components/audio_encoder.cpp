// The audio encoder: a log-mel spectrogram in, rows that stand among a language model's embeddings out. Convolutions
// over chunks of it, then a transformer over windows of several chunks, in which every row sees every other.
#include "blocks/conv2d.h"
#include "blocks/encoder_stack.h"
#include "blocks/linear.h"
#include "blocks/norm.h"
#include "components/component.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {

struct hparams : encoder_hparams {
    explicit hparams(const gguf_keys & kv)
        : encoder_hparams{kv.size("n_layer"), kv.size("n_embd"), kv.size("n_head"), kv.size("head_dim"), kv.size("n_ff"),
                          kv.above_zero("layer_norm_eps"), /*gelu_tanh =*/false},
          n_mels(kv.size("mel.n_mels")), n_embd_out(kv.size("n_embd_out")), sample_rate(kv.size("sample_rate")),
          n_conv(kv.size("n_conv")), conv_channels(kv.size("conv_channels")), chunk(kv.size("chunk")),
          window_chunks(kv.size("window_chunks")), conv{kv.size("conv_kernel"), kv.size("conv_stride"), int64_t(kv.u32("conv_pad"))},
          position_timescale(kv.above_zero("position_timescale")) {
        const char * path = kv.file().path().c_str();
        if (n_layer > 1024) {
            fail(OMNI_ERROR_FORMAT, "%s: audio_encoder.n_layer is %lld, expected at most 1024", path, (long long) n_layer);
        }
        if (n_conv > 8 || conv.kernel > 15 || conv.stride > 15 || 2 * conv.pad + 1 < conv.kernel || conv.pad >= conv.kernel) {
            fail(OMNI_ERROR_UNSUPPORTED, "%s: audio_encoder has %lld convolutions of kernel %lld, stride %lld and padding %lld, expected at most 8, at most 15, and a padding that keeps the shortest input",
                 path, (long long) n_conv, (long long) conv.kernel, (long long) conv.stride, (long long) conv.pad);
        }
        if (n_embd % 2 != 0 || n_embd < 4) {
            fail(OMNI_ERROR_FORMAT, "%s: audio_encoder.n_embd is %lld, expected an even number from 4", path, (long long) n_embd);
        }
        if (chunk > 1 << 16 || window_chunks > 1 << 10 || n_mels > 1 << 12) {
            fail(OMNI_ERROR_FORMAT, "%s: audio_encoder.chunk, .window_chunks and .mel.n_mels are %lld, %lld and %lld, expected at most 65536, 1024 and 4096",
                 path, (long long) chunk, (long long) window_chunks, (long long) n_mels);
        }
    }

    int64_t halved(int64_t n) const {  // what all convolutions leave of n along an axis
        for (int64_t i = 0; i < n_conv; i++) {
            n = conv.n_out(n);
        }
        return n;
    }

    int64_t n_rows(int64_t n_frames) const {
        const int64_t rest = n_frames % chunk;
        return n_frames / chunk * halved(chunk) + (rest ? halved(rest) : 0);
    }

    // The short chunk at the end of a longer clip counts as padded with zeros to a whole one. Every convolution reads at
    // most `stride + pad` of them per row, so no row that is kept sees past the next multiple of all strides.
    int64_t padded(int64_t n_frames) const {
        if (conv.kernel > conv.stride + conv.pad) {
            return chunk;
        }
        int64_t all = 1;
        for (int64_t i = 0; i < n_conv; i++) {
            all *= conv.stride;
        }
        return std::min(chunk, (n_frames + all - 1) / all * all);
    }

    int64_t n_mels, n_embd_out, sample_rate, n_conv, conv_channels;
    int64_t chunk, window_chunks;  // mel frames; chunks
    conv2d_hparams conv;
    float   position_timescale;
};

struct audio_encoder final : component {
    explicit audio_encoder(const loader & l)
        : hp(l.kv), conv_out(l.weight("conv_out.weight", {hp.conv_channels * hp.halved(hp.n_mels), hp.n_embd})),
          norm_w(l.f32("output_norm.weight", {hp.n_embd})), norm_b(l.f32("output_norm.bias", {hp.n_embd})),
          proj1_w(l.weight("proj1.weight", {hp.n_embd, hp.n_embd})), proj1_b(l.f32("proj1.bias", {hp.n_embd})),
          proj2_w(l.weight("proj2.weight", {hp.n_embd, hp.n_embd_out})), proj2_b(l.f32("proj2.bias", {hp.n_embd_out})) {
        for (int64_t i = 0; i < hp.n_conv; i++) {
            convs.emplace_back(l.scope("conv").scope(i), i ? hp.conv_channels : 1, hp.conv_channels, hp.conv);
        }
        for (int64_t i = 0; i < hp.n_layer; i++) {
            layers.emplace_back(l.scope("blk").scope(i), hp);
        }
    }

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_ENCODER;
        i.n_embd      = int32_t(hp.n_mels);
        i.n_hidden    = int32_t(hp.n_embd_out);
        i.n_rows_min  = 1;
        i.sample_rate = int32_t(hp.sample_rate);
        return i;
    }

    int64_t n_rows_out(int64_t n) const override { return hp.n_rows(n); }
    int64_t window_rows() const override { return hp.chunk * hp.window_chunks; }

    size_t max_nodes(const graph_key &) const override {
        return layers.size() * encoder_layer::max_nodes() + size_t(hp.window_chunks * (hp.n_conv * 10 + 8)) + 64;
    }

    // Taps: stem [n_embd, n], with positions; blk.{i}.out [n_embd, n]; norm [n_embd, n]
    void build(graph & g) const override {
        ggml_tensor * x = g.input("rows", GGML_TYPE_F32, hp.n_mels, g.key.n);                          // [n_mels, T]
        x = g.tap("stem", positioned(g, stem(g, x)));                                                  // [n_embd, n]
        for (size_t i = 0; i < layers.size(); i++) {
            x = g.tap("blk." + std::to_string(i) + ".out", layers[i].build(g, x, 1, nullptr));
        }
        x = g.tap("norm", layer_norm(g, x, norm_w, norm_b, hp.layer_norm_eps));
        x = ggml_gelu_erf(g.ctx, linear(g, proj1_w, x, proj1_b, 1));
        g.output("rows_out", linear(g, proj2_w, x, proj2_b, 1));                                       // [n_embd_out, n]
    }

    // Chunk by chunk, so that only one chunk's images are in memory at a time. [n_mels, T] -> [n_embd, n]
    ggml_tensor * stem(graph & g, ggml_tensor * x) const {
        const int64_t n = g.key.n, n_bands = hp.halved(hp.n_mels);
        ggml_tensor * all = nullptr;
        for (int64_t at = 0; at < n; at += hp.chunk) {
            const int64_t n_frames = std::min(hp.chunk, n - at);
            const bool alone       = n <= hp.chunk && !g.key.which;  // a clip of one chunk is not padded
            const int64_t n_wide   = alone ? n_frames : hp.padded(n_frames);
            ggml_tensor * part = ggml_view_2d(g.ctx, x, hp.n_mels, n_frames, x->nb[1], size_t(at) * x->nb[1]);
            if (n_wide > n_frames) {
                part = ggml_pad(g.ctx, part, 0, int(n_wide - n_frames), 0, 0);
            }
            image seen{ggml_reshape_2d(g.ctx, part, 1, hp.n_mels * n_wide), hp.n_mels, n_wide};
            for (const conv2d & conv : convs) {
                seen   = conv.build(g, seen);
                seen.x = ggml_gelu_erf(g.ctx, seen.x);
            }
            ggml_tensor * rows = ggml_reshape_2d(g.ctx, seen.x, hp.conv_channels * n_bands, seen.w);   // a row per step
            if (const int64_t n_kept = hp.halved(n_frames); n_kept < seen.w) {
                rows = ggml_view_2d(g.ctx, rows, rows->ne[0], n_kept, rows->nb[1], 0);
            }
            all = all ? ggml_concat(g.ctx, all, rows, 1) : rows;
        }
        return linear(g, conv_out, all, nullptr, 1);
    }

    // Adds sines and cosines of a row's place in its chunk (arXiv 1706.03762), all sines first.
    ggml_tensor * positioned(graph & g, ggml_tensor * x) const {
        const int64_t n_half = hp.n_embd / 2, n_places = hp.halved(hp.chunk);
        const float step = float(std::log(double(hp.position_timescale)) / double(n_half - 1));
        std::vector<float> table(size_t(hp.n_embd * n_places));
        for (int64_t p = 0; p < n_places; p++) {
            for (int64_t i = 0; i < n_half; i++) {
                const float angle = float(p) * std::exp(-step * float(i));
                table[size_t(p * hp.n_embd + i)]          = std::sin(angle);
                table[size_t(p * hp.n_embd + n_half + i)] = std::cos(angle);
            }
        }
        std::vector<int32_t> place(size_t(x->ne[1]));
        for (size_t i = 0; i < place.size(); i++) {
            place[i] = int32_t(int64_t(i) % n_places);
        }
        ggml_tensor * places = ggml_reshape_2d(g.ctx, g.constant("positions", table), hp.n_embd, n_places);
        return ggml_add(g.ctx, x, ggml_get_rows(g.ctx, places, g.constant("place", place)));
    }

    hparams             hp;
    std::vector<conv2d> convs;
    ggml_tensor *       conv_out;  // [conv_channels * bands, n_embd]: a band's channels together
    std::vector<encoder_layer> layers;
    ggml_tensor *       norm_w, *norm_b, *proj1_w, *proj1_b, *proj2_w, *proj2_b;
};

} // namespace

std::unique_ptr<component> make_audio_encoder(const loader & l) { return std::make_unique<audio_encoder>(l); }

} // namespace omni
