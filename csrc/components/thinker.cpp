// The thinker: rows of text, sound and sight in, the next token's logits out; and for the talker the rows behind some of
// its layers.
#include "blocks/decoder_lm.h"
#include "components/component.h"

#include "core/error.h"

namespace omni {

namespace {

struct thinker final : component {
    explicit thinker(const loader & l)
        : lm(l, stack_hparams(l.kv, {/*.moe =*/true, /*.axes =*/true}), "output.weight", l.kv.size("n_vocab")),
          n_deepstack(l.kv.u32("n_deepstack")), accept_layer(l.kv.u32("accept_layer")),
          token_embd(l.weight("token_embd.weight", {lm.hp.n_embd, lm.n_vocab})) {
        const char * path = l.kv.file().path().c_str();
        const long long n_layer = (long long) lm.hp.n_layer;
        if (n_deepstack > lm.hp.n_layer) {
            fail(OMNI_ERROR_FORMAT, "%s: thinker.n_deepstack is %lld, expected at most n_layer, %lld", path, (long long) n_deepstack,
                 n_layer);
        }
        if (accept_layer >= lm.hp.n_layer) {
            fail(OMNI_ERROR_FORMAT, "%s: thinker.accept_layer is %lld, expected less than n_layer, %lld", path,
                 (long long) accept_layer, n_layer);
        }
    }

    omni_info info() const override {
        omni_info i = lm.info();
        i.n_tables     = 1;
        i.n_deepstack  = int32_t(n_deepstack);
        i.accept_layer = int32_t(accept_layer);
        return i;
    }

    int64_t table_size(int32_t) const override { return lm.n_vocab; }
    int64_t kv_width() const override { return lm.hp.kv_width(); }
    int64_t n_head() const override { return lm.hp.n_head; }
    const rope_axes * axes() const override { return lm.hp.rope(); }
    size_t  max_nodes(const graph_key &) const override { return lm.max_nodes(); }

    void build(graph & g) const override {
        if (g.key.verb == verb_embed) {
            return g.output("rows", ggml_get_rows(g.ctx, token_embd, g.input("ids", GGML_TYPE_I32, g.key.n)));
        }
        lm.build(g, n_deepstack, accept_layer);
    }

    decoder_lm    lm;
    int64_t       n_deepstack, accept_layer;
    ggml_tensor * token_embd;
};

} // namespace

std::unique_ptr<component> make_thinker(const loader & l) { return std::make_unique<thinker>(l); }

} // namespace omni
