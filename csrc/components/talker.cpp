// The talker: text and codec rows in, the first code group's logits and the hidden row of the code predictor out. That of
// Qwen3-TTS has a text table of its own and dense layers; that of Qwen3-Omni listens to rows of a thinker and has experts.
#include "blocks/decoder_lm.h"
#include "components/component.h"

#include "core/error.h"

namespace omni {

namespace {

enum table : int32_t { table_text, table_codec, n_tables };
enum which_projection : int32_t { project_text, project_hidden, n_projections };

struct talker : component {
    talker(const loader & l, const stack_kind & kind)
        : lm(l, stack_hparams(l.kv, kind), "codec_head.weight", l.kv.size("n_vocab")), n_groups(l.kv.size("n_groups")),
          codec_embd(l.weight("codec_embd.weight", {lm.hp.n_embd, lm.n_vocab})) {}

    omni_info info() const override {
        omni_info i = lm.info();
        i.n_tables = n_tables;
        i.n_groups = int32_t(n_groups);
        return i;
    }

    int64_t table_size(int32_t t) const override { return t == table_codec ? lm.n_vocab : 0; }
    int64_t kv_width() const override { return lm.hp.kv_width(); }
    int64_t n_head() const override { return lm.hp.n_head; }
    const rope_axes * axes() const override { return lm.hp.rope(); }
    size_t  max_nodes(const graph_key &) const override { return lm.max_nodes(); }

    void build(graph & g) const override {
        if (g.key.verb == verb_embed) {
            ggml_tensor * ids = g.input("ids", GGML_TYPE_I32, g.key.n);
            return g.output("rows", g.key.which == table_codec ? ggml_get_rows(g.ctx, codec_embd, ids) : text_rows(g, ids));
        }
        lm.build(g);
    }

    virtual ggml_tensor * text_rows(graph &, ggml_tensor *) const {
        fail(OMNI_ERROR_INTERNAL, "this talker has no text table");
    }

    decoder_lm    lm;
    int64_t       n_groups;
    ggml_tensor * codec_embd;
};

struct reading_talker final : talker {  // with a text table
    explicit reading_talker(const loader & l)
        : talker(l, {}), n_text(l.kv.size("text.n_vocab")), n_embd_text(l.kv.size("text.n_embd")),
          text_embd(l.table("text_embd.weight", {n_embd_text, n_text})),
          text_proj(l.scope("text_proj"), n_embd_text, n_embd_text, lm.hp.n_embd) {}

    int64_t table_size(int32_t t) const override { return t == table_text ? n_text : talker::table_size(t); }

    ggml_tensor * text_rows(graph & g, ggml_tensor * ids) const override {
        return text_proj.build(g, ggml_get_rows(g.ctx, text_embd, ids));               // [n_embd, n]
    }

    int64_t       n_text, n_embd_text;
    ggml_tensor * text_embd;
    projection    text_proj;
};

struct listening_talker final : talker {  // to rows of a thinker: its embeddings and its hidden rows
    explicit listening_talker(const loader & l)
        : talker(l, {/*.moe =*/true, /*.axes =*/true}), n_embd_thinker(l.kv.size("n_embd_thinker")),
          n_ff_proj(l.kv.size("n_ff_proj")), text_proj(l.scope("text_proj"), n_embd_thinker, n_ff_proj, lm.hp.n_embd),
          hidden_proj(l.scope("hidden_proj"), n_embd_thinker, n_ff_proj, lm.hp.n_embd) {}

    omni_info info() const override {
        omni_info i = talker::info();
        i.n_projections = n_projections;
        i.n_embd_proj   = int32_t(n_embd_thinker);
        return i;
    }

    void build(graph & g) const override {
        if (g.key.verb == verb_project) {
            ggml_tensor * x = g.input("given", GGML_TYPE_F32, n_embd_thinker, g.key.n);
            return g.output("rows", (g.key.which == project_text ? text_proj : hidden_proj).build(g, x));
        }
        talker::build(g);
    }

    int64_t    n_embd_thinker, n_ff_proj;
    projection text_proj, hidden_proj;
};

} // namespace

std::unique_ptr<component> make_talker(const loader & l) {
    if (l.kv.file().text("general.architecture") == "qwen3-omni") {
        return std::make_unique<listening_talker>(l);
    }
    return std::make_unique<reading_talker>(l);
}

} // namespace omni
