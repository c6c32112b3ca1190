// The talker: text and codec rows in, the first code group's logits and the hidden row of the code predictor out.
#include "blocks/linear.h"
#include "blocks/norm.h"
#include "blocks/stack.h"
#include "components/component.h"

#include "core/error.h"

namespace omni {

namespace {

enum table : int32_t { table_text, table_codec, n_tables };

struct talker final : component {
    explicit talker(const loader & l)
        : hp(l.kv), blocks(l.scope("blk"), hp), n_vocab(l.kv.size("n_vocab")),
          n_groups(l.kv.size("n_groups")), n_text(l.kv.size("text.n_vocab")), n_embd_text(l.kv.size("text.n_embd")) {
        text_embd  = l.weight("text_embd.weight", {n_embd_text, n_text});
        text_fc1   = l.weight("text_proj.fc1.weight", {n_embd_text, n_embd_text});
        text_fc1_b = l.f32("text_proj.fc1.bias", {n_embd_text});
        text_fc2   = l.weight("text_proj.fc2.weight", {n_embd_text, hp.n_embd});
        text_fc2_b = l.f32("text_proj.fc2.bias", {hp.n_embd});
        codec_embd = l.weight("codec_embd.weight", {hp.n_embd, n_vocab});
        norm       = l.f32("output_norm.weight", {hp.n_embd});
        head       = l.weight("codec_head.weight", {hp.n_embd, n_vocab});
    }

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_LM;
        i.n_embd      = int32_t(hp.n_embd);
        i.n_hidden    = int32_t(hp.n_embd);
        i.n_vocab     = int32_t(n_vocab);
        i.n_tables    = n_tables;
        i.n_heads_out = 1;
        i.n_groups    = int32_t(n_groups);
        i.n_ctx_max   = int32_t(hp.n_ctx_max);
        return i;
    }

    int64_t table_size(int32_t t) const override { return t == table_text ? n_text : n_vocab; }
    int64_t kv_width() const override { return hp.kv_width(); }
    size_t  max_nodes(const graph_key &) const override { return blocks.max_nodes(); }

    void build(graph & g) const override {
        if (g.key.verb == verb_embed) {
            ggml_tensor * ids = g.input("ids", GGML_TYPE_I32, g.key.n);
            return g.output("rows", g.key.which == table_text ? text_rows(g, ids) : ggml_get_rows(g.ctx, codec_embd, ids));
        }
        const int64_t n_lanes = g.key.n_lanes;
        const kv_inputs in = kv_inputs::make(g, g.key.n, g.key.n_kv, hp.kv_width());
        ggml_tensor * x = g.input("embeds", GGML_TYPE_F32, hp.n_embd, in.n * n_lanes);
        x = last_rows(g, blocks.build(g, x, in), in.n, n_lanes);                       // [n_embd, n_lanes]
        x = g.tap("hidden", rms_norm(g, x, norm, hp.rms_eps));
        g.output("hidden", x);
        if (g.key.logits) {
            g.output("logits", g.tap("logits", linear_rows(g, head, x, nullptr)));     // [n_vocab, n_lanes]
        }
    }

    // fc2(silu(fc1(embedding))): not gated. Row by row, so that a text fed in pieces gets the rows it would get whole.
    ggml_tensor * text_rows(graph & g, ggml_tensor * ids) const {
        ggml_tensor * x = ggml_get_rows(g.ctx, text_embd, ids);                        // [n_embd_text, n]
        x = ggml_silu(g.ctx, linear_rows(g, text_fc1, x, text_fc1_b));
        return linear_rows(g, text_fc2, x, text_fc2_b);                                // [n_embd, n]
    }

    stack_hparams hp;
    stack         blocks;
    int64_t       n_vocab, n_groups, n_text, n_embd_text;
    ggml_tensor  *text_embd, *text_fc1, *text_fc1_b, *text_fc2, *text_fc2_b, *codec_embd, *norm, *head;
};

} // namespace

std::unique_ptr<component> make_talker(const loader & l) { return std::make_unique<talker>(l); }

} // namespace omni
