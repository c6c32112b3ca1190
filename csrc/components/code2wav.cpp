// Code2wav: frames of codes in, samples out. The mean of the codes' embeddings in front of the trunk, whose wave blocks
// trim a whole signal on both sides: a stream gives its first samples late and then goes on frame by frame.
#include "blocks/decoder_trunk.h"
#include "blocks/mean_embedding.h"
#include "components/component.h"

namespace omni {

namespace {

struct code2wav final : component {
    explicit code2wav(const loader & l)
        : trunk(l, decoder_trunk_hparams(l.kv, {/*.projected =*/false, /*.trimmed =*/true})),
          front(l.scope("code_embd"), l.kv.size("n_groups"), l.kv.size("codebook_size"), trunk.hp.latent_dim) {}

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_CODEC;
        i.n_vocab     = int32_t(front.n_rows);
        i.n_groups    = int32_t(front.n_groups);
        i.hop         = int32_t(trunk.hp.hop);
        i.lead        = int32_t(trunk.hp.lead());
        i.sample_rate = int32_t(trunk.hp.sample_rate);
        return i;
    }

    size_t max_nodes(const graph_key & key) const override { return trunk.max_nodes(key.n) + size_t(front.n_groups) * 2 + 64; }

    void build(graph & g) const override {
        ggml_tensor * codes = g.input("codes", GGML_TYPE_I32, g.key.n, front.n_groups);
        ggml_tensor * x = g.tap("code_embd", front.build(g, codes));                 // [latent_dim, n], channels fastest
        g.output("pcm", trunk.build(g, x));                                          // [1, n * hop - lead if it starts]
    }

    decoder_trunk  trunk;
    mean_embedding front;
};

} // namespace

std::unique_ptr<component> make_code2wav(const loader & l) { return std::make_unique<code2wav>(l.widened()); }

} // namespace omni
