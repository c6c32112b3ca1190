#include "blocks/decoder_lm.h"

#include "blocks/joined_nodes.h"
#include "blocks/linear.h"
#include "blocks/linear_node.h"
#include "blocks/norm.h"
#include "blocks/stack_node.h"

namespace omni {

decoder_lm::decoder_lm(const loader & l, const stack_hparams & hp, const std::string & head_name, int64_t n_vocab)
    : hp(hp), blocks(l.scope("blk"), hp), n_vocab(n_vocab), norm(l.f32("output_norm.weight", {hp.n_embd})),
      head(l.matrix(head_name, {hp.n_embd, n_vocab})) {}

omni_info decoder_lm::info() const {
    omni_info i{};
    i.kind        = OMNI_KIND_LM;
    i.n_embd      = int32_t(hp.n_embd);
    i.n_hidden    = int32_t(hp.n_embd);
    i.n_vocab     = int32_t(n_vocab);
    i.n_heads_out = 1;
    i.n_ctx_max   = int32_t(hp.n_ctx_max);
    i.n_axes      = hp.axes ? int32_t(hp.axes->n_axes()) : 1;
    return i;
}

void decoder_lm::build(graph & g, int64_t n_added, int64_t accept_layer) const {
    decode(g, n_added, accept_layer);
    if (g.joined) {
        write_joined(g, g.joined->hidden, g.outputs().at("hidden"));
    }
}

void decoder_lm::decode(graph & g, int64_t n_added, int64_t accept_layer) const {
    const int64_t n_lanes = g.key.n_lanes, n_rows = g.key.n * n_lanes;
    const kv_inputs in = blocks.inputs(g, g.key.n);
    between_layers between;
    for (int64_t i = 0; i < n_added && g.key.added; i++) {
        between.added.push_back(g.input("added." + std::to_string(i), GGML_TYPE_F32, hp.n_embd, n_rows));
    }
    between.accept = g.key.accept ? accept_layer : 0;
    ggml_tensor * x = g.input("embeds", GGML_TYPE_F32, hp.n_embd, n_rows);
    if (g.key.joined) {
        x = ggml_add(g.ctx, x, read_joined(g, g.joined->sum));
    }
    if (between.added.empty() && !between.accept && stack_node::covers(g, blocks, {head}, in.n)) {
        return stack_node::decode(g, blocks, {norm, nullptr, nullptr}, x, in, g.key.logits ? head : nullptr);
    }
    x = blocks.build(g, x, in, &between);
    if (between.accepted) {
        g.output("accept", between.accepted);                                          // [n_embd, n * n_lanes]
    }
    x = g.tap("hidden", rms_norm(g, last_rows(g, x, in.n, n_lanes), norm, hp.rms_eps));  // [n_embd, n_lanes]
    g.output("hidden", x);
    if (g.key.logits) {
        g.output("logits", g.tap("logits", linear_rows(g, head, x, nullptr)));         // [n_vocab, n_lanes]
    }
}

projection::projection(const loader & l, int64_t n_in, int64_t n_ff, int64_t n_out)
    : fc1(l.matrix("fc1.weight", {n_in, n_ff})), fc1_b(l.f32("fc1.bias", {n_ff})), fc2(l.matrix("fc2.weight", {n_ff, n_out})),
      fc2_b(l.f32("fc2.bias", {n_out})) {}

ggml_tensor * projection::build(graph & g, ggml_tensor * x) const {
    const auto product = [&](ggml_tensor * w, ggml_tensor * rows, ggml_tensor * b) {
        return linear_node::covers(g, w) ? linear_node::build(g, w, rows, b) : linear_rows(g, w, rows, b);
    };
    return product(fc2, ggml_silu(g.ctx, product(fc1, x, fc1_b)), fc2_b);
}

} // namespace omni
