// The speaker encoder: a log-mel spectrogram in, one row that says who speaks out (ECAPA-TDNN, arXiv 2005.07143).
#include "blocks/res2net.h"
#include "blocks/statistics_pooling.h"
#include "components/component.h"

#include "core/error.h"

#include <algorithm>

namespace omni {

namespace {

struct hparams {
    int64_t n_mels, n_embd_out, sample_rate, scale, n_squeezed, n_attention;
    float   variance_floor;
    std::vector<int32_t> channels, kernels, dilations;  // first convolution, blocks, aggregation

    int64_t width() const { return channels.front(); }      // of every block
    int64_t width_out() const { return channels.back(); }   // of all blocks together
    size_t  n_blocks() const { return channels.size() - 2; }
};

hparams read(const gguf_keys & kv) {
    hparams hp;
    hp.n_mels         = kv.size("mel.n_mels");
    hp.n_embd_out     = kv.size("n_embd_out");
    hp.sample_rate    = kv.size("sample_rate");
    hp.scale          = kv.size("res2net_scale");
    hp.n_squeezed     = kv.size("se_channels");
    hp.n_attention    = kv.size("attention_channels");
    hp.variance_floor = kv.f32("variance_floor");
    hp.channels       = kv.sizes("channels");
    hp.kernels        = kv.sizes("kernels");
    hp.dilations      = kv.sizes("dilations");

    const char * path = kv.file().path().c_str();
    const size_t n = hp.channels.size();
    if (n < 3 || hp.kernels.size() != n || hp.dilations.size() != n) {
        fail(OMNI_ERROR_FORMAT, "%s: speaker_encoder.channels, .kernels and .dilations have %zu, %zu and %zu numbers, expected three or more and as many of each",
             path, n, hp.kernels.size(), hp.dilations.size());
    }
    for (size_t i = 0; i + 1 < n; i++) {
        if (hp.channels[i] != hp.width() || hp.width() % hp.scale != 0) {
            fail(OMNI_ERROR_FORMAT, "%s: speaker_encoder.channels holds %d, expected one width for all but the last, a multiple of res2net_scale, %lld",
                 path, hp.channels[i], (long long) hp.scale);
        }
    }
    if (hp.width_out() != hp.width() * int64_t(hp.n_blocks())) {
        fail(OMNI_ERROR_FORMAT, "%s: speaker_encoder.channels ends with %lld, expected %lld, the width of all blocks together", path,
             (long long) hp.width_out(), (long long) (hp.width() * int64_t(hp.n_blocks())));
    }
    if (hp.kernels.back() != 1) {
        fail(OMNI_ERROR_UNSUPPORTED, "%s: speaker_encoder.kernels ends with %d, expected 1", path, hp.kernels.back());
    }
    if (!(hp.variance_floor > 0.0f)) {
        fail(OMNI_ERROR_FORMAT, "%s: speaker_encoder.variance_floor is %g, expected more than 0", path, double(hp.variance_floor));
    }
    return hp;
}

struct speaker_encoder final : component {
    explicit speaker_encoder(const loader & l)
        : hp(read(l.kv)), conv_in(l.scope("blk").scope(int64_t(0)).scope("conv"), hp.n_mels, hp.width(), hp.kernels[0], hp.dilations[0]),
          mfa(l.scope("mfa"), hp.width_out(), hp.width_out()), pooling(l.scope("asp"), hp.width_out(), hp.n_attention, hp.variance_floor),
          fc(l.scope("fc"), 2 * hp.width_out(), hp.n_embd_out) {
        for (size_t i = 1; i <= hp.n_blocks(); i++) {
            const res2net_hparams block{hp.width(), hp.kernels[i], hp.dilations[i], hp.scale, hp.n_squeezed};
            blocks.emplace_back(l.scope("blk").scope(int64_t(i)), block);
        }
    }

    omni_info info() const override {
        int64_t n_min = conv_in.min_steps();
        for (const res2net_block & block : blocks) {
            for (const same_conv1d & part : block.parts) {
                n_min = std::max(n_min, part.min_steps());
            }
        }
        omni_info i{};
        i.kind        = OMNI_KIND_ENCODER;
        i.n_embd      = int32_t(hp.n_mels);
        i.n_hidden    = int32_t(hp.n_embd_out);
        i.n_rows_min  = int32_t(n_min);
        i.sample_rate = int32_t(hp.sample_rate);
        return i;
    }

    int64_t n_rows_out(int64_t) const override { return 1; }

    size_t max_nodes(const graph_key &) const override {
        size_t n = 128;
        for (const res2net_block & block : blocks) {
            n += block.max_nodes();
        }
        return n;
    }

    // Taps, channels fastest: blk.{i}.out [width, T], mfa [width_out, T], pooled [2 * width_out]
    void build(graph & g) const override {
        ggml_tensor * x = g.input("rows", GGML_TYPE_F32, hp.n_mels, g.key.n);            // [n_mels, T]
        x = g.tap("blk.0.out", ggml_relu(g.ctx, conv_in.build(g, x)));                   // [width, T]
        std::vector<ggml_tensor *> outs;
        for (size_t i = 0; i < blocks.size(); i++) {
            x = g.tap("blk." + std::to_string(i + 1) + ".out", blocks[i].build(g, x));
            outs.push_back(x);
        }
        x = g.tap("mfa", ggml_relu(g.ctx, mfa.build(g, join_channels(g, outs))));        // [width_out, T]
        x = g.tap("pooled", pooling.build(g, x));                                        // [2 * width_out, 1]
        g.output("rows_out", fc.build(g, x));                                            // [n_embd_out, 1]
    }

    hparams                    hp;
    same_conv1d                conv_in;
    std::vector<res2net_block> blocks;
    pointwise_conv1d           mfa;
    statistics_pooling         pooling;
    pointwise_conv1d           fc;
};

} // namespace

std::unique_ptr<component> make_speaker_encoder(const loader & l) { return std::make_unique<speaker_encoder>(l); }

} // namespace omni
