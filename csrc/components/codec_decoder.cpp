// The codec decoder: frames of codes in, samples out. Split residual vector quantisation in front of the trunk.
#include "blocks/decoder_trunk.h"
#include "blocks/rvq.h"
#include "components/component.h"

namespace omni {

namespace {

struct codec_decoder final : component {
    explicit codec_decoder(const loader & l)
        : quantizer(l, rvq_hparams(l.kv, l.kv.size("rvq_dim"))),
          pre_conv(l.scope("pre_conv"), quantizer.hp.n_out, l.kv.size("latent_dim"), l.kv.size("pre_conv_kernel")),
          trunk(l, decoder_trunk_hparams(l.kv, {/*.projected =*/true, /*.trimmed =*/false})) {}

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_CODEC;
        i.n_vocab     = int32_t(quantizer.hp.codebook_size);
        i.n_groups    = int32_t(quantizer.hp.n_groups);
        i.hop         = int32_t(trunk.hp.hop);
        i.sample_rate = int32_t(trunk.hp.sample_rate);
        return i;
    }

    size_t max_nodes(const graph_key & key) const override {
        return trunk.max_nodes(key.n) + size_t(quantizer.hp.n_groups) * 4 + 64;
    }

    void build(graph & g) const override {
        ggml_tensor * codes = g.input("codes", GGML_TYPE_I32, g.key.n, quantizer.hp.n_groups);
        ggml_tensor * x = g.tap("rvq", quantizer.build(g, codes));                   // [rvq_dim, n], channels fastest
        x = tap_time_first(g, "pre_conv", pre_conv.build(g, x));                     // [latent_dim, n], tapped time fastest
        g.output("pcm", trunk.build(g, x));                                          // [1, n * hop]
    }

    rvq           quantizer;
    causal_conv1d pre_conv;
    decoder_trunk trunk;
};

} // namespace

std::unique_ptr<component> make_codec_decoder(const loader & l) { return std::make_unique<codec_decoder>(l.widened()); }

} // namespace omni
