// The code predictor: given the talker's hidden row and group 0 of a frame, the other groups one after the other.
#include "blocks/draw.h"
#include "blocks/joined_nodes.h"
#include "blocks/linear.h"
#include "blocks/norm.h"
#include "blocks/stack.h"
#include "blocks/stack_node.h"
#include "components/component.h"

#include "core/error.h"

namespace omni {

namespace {

struct code_predictor final : component {
    explicit code_predictor(const loader & l)
        : hp(l.kv), blocks(l.scope("blk"), hp), n_vocab(l.kv.size("n_vocab")),
          n_groups(l.kv.size("n_groups")), n_embd_in(l.kv.size("n_embd_in")) {
        const loader talker = l.component("talker");  // group 0 is embedded by the talker's own table
        n_vocab0    = talker.kv.size("n_vocab");
        codec_embd0 = talker.weight("codec_embd.weight", {n_embd_in, n_vocab0});
        if (n_groups < 2 || n_groups > hp.n_ctx_max) {
            fail(OMNI_ERROR_FORMAT, "%s: code_predictor.n_groups is %lld, expected 2 to n_ctx_max %lld",
                 l.kv.file().path().c_str(), (long long) n_groups, (long long) hp.n_ctx_max);
        }
        for (int64_t k = 0; k < n_groups - 1; k++) {
            codec_embd.push_back(l.scope("codec_embd").scope(k).weight("weight", {n_embd_in, n_vocab}));
            codec_head.push_back(l.scope("codec_head").scope(k).weight("weight", {hp.n_embd, n_vocab}));
        }
        norm = l.f32("output_norm.weight", {hp.n_embd});
        if (l.kv.boolean("input_proj")) {
            proj   = l.weight("input_proj.weight", {n_embd_in, hp.n_embd});
            proj_b = l.f32("input_proj.bias", {hp.n_embd});
        } else if (n_embd_in != hp.n_embd) {
            fail(OMNI_ERROR_FORMAT, "%s: code_predictor.n_embd_in is %lld and n_embd %lld, which differ without an input_proj",
                 l.kv.file().path().c_str(), (long long) n_embd_in, (long long) hp.n_embd);
        }
    }

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_LM;
        i.n_embd      = int32_t(n_embd_in);
        i.n_hidden    = int32_t(hp.n_embd);
        i.n_vocab     = int32_t(n_vocab);
        i.n_tables    = int32_t(n_groups - 1);
        i.n_heads_out = int32_t(n_groups - 1);
        i.n_groups    = int32_t(n_groups);
        i.n_ctx_max   = int32_t(hp.n_ctx_max);
        i.n_axes      = 1;
        return i;
    }

    int64_t table_size(int32_t) const override { return n_vocab; }
    int64_t n_first_codes() const override { return n_vocab0; }
    int64_t kv_width() const override { return hp.kv_width(); }

    size_t max_nodes(const graph_key & key) const override {
        return key.verb == verb_groups ? size_t(n_groups) * (blocks.max_nodes() + 64 + device_draw::max_nodes) : blocks.max_nodes();
    }

    void build(graph & g) const override {
        if (g.key.verb == verb_embed) {
            ggml_tensor * ids = g.input("ids", GGML_TYPE_I32, g.key.n);
            return g.output("rows", ggml_get_rows(g.ctx, codec_embd[size_t(g.key.which)], ids));
        }
        if (g.key.verb == verb_groups) {
            build_frame(g);
            if (g.joined) {
                write_joined(g, g.joined->sum, g.outputs().at("row_sum"));
            }
            return;
        }
        const kv_inputs in = blocks.inputs(g, g.key.n);
        ggml_tensor * x = g.input("embeds", GGML_TYPE_F32, n_embd_in, in.n * in.n_lanes);
        ggml_tensor * head = g.key.logits ? codec_head[size_t(g.key.which)] : nullptr;
        const std::vector<ggml_tensor *> each(codec_head.begin() + g.key.which, codec_head.begin() + g.key.which + g.key.each);
        std::vector<ggml_tensor *> matrices = each;
        matrices.insert(matrices.end(), {head, proj});
        if (stack_node::covers(g, blocks, matrices, in.n)) {
            return stack_node::decode(g, blocks, {norm, proj, proj_b}, x, in, head, each);
        }
        x = pass(g, x, in);
        if (!each.empty()) {
            g.output("each", g.tap("each", through(g, each, rms_norm(g, x, norm, hp.rms_eps))));
        }
        x = last(g, x, in);
        g.output("hidden", g.tap("hidden", x));
        if (head) {
            g.output("logits", g.tap("logits", linear_rows(g, head, x, nullptr)));
        }
    }

    // x [n_embd_in, n * n_lanes] -> [n_embd, n * n_lanes], before the norm
    ggml_tensor * pass(graph & g, ggml_tensor * x, const kv_inputs & in) const {
        if (proj) {
            x = linear(g, proj, x, proj_b, in.n_lanes);
        }
        return blocks.build(g, x, in);
    }

    // The normed hidden row of each lane's last position [n_embd, n_lanes].
    ggml_tensor * last(graph & g, ggml_tensor * x, const kv_inputs & in) const {
        return rms_norm(g, last_rows(g, x, in.n, in.n_lanes), norm, hp.rms_eps);
    }

    // Rows x [n_embd, n] through heads -> [n_vocab, n_heads, n]
    ggml_tensor * through(graph & g, const std::vector<ggml_tensor *> & heads, ggml_tensor * x) const {
        ggml_tensor * all = nullptr;
        for (ggml_tensor * head : heads) {
            ggml_tensor * one = ggml_reshape_3d(g.ctx, linear_rows(g, head, x, nullptr), n_vocab, 1, x->ne[1]);
            all = all ? ggml_concat(g.ctx, all, one, 1) : one;
        }
        return all;
    }

    // A frame: two positions (hidden row, group 0), then one for each group but the last. Each draw's id looks up the
    // next input, so nothing leaves the graph in between.
    void build_frame(graph & g) const {
        ggml_context * c = g.ctx;
        const int64_t n_lanes = g.key.n_lanes;
        ggml_tensor * hidden   = g.key.joined ? ggml_reshape_3d(c, read_joined(g, g.joined->hidden), n_embd_in, 1, n_lanes)
                                              : g.input("hidden", GGML_TYPE_F32, n_embd_in, 1, n_lanes);
        ggml_tensor * code     = g.input("code0", GGML_TYPE_I32, n_lanes);
        const bool apart = device_draw::wanted(g.cpu, g.wants(device_draw::tap));
        ggml_tensor * uniforms = apart ? nullptr : g.input("uniforms", GGML_TYPE_F64, n_groups - 1, n_lanes);
        ggml_tensor * params   = apart ? nullptr : g.input("draw", GGML_TYPE_F64, n_draw_params);
        const auto device = apart ? std::make_unique<device_draw>(g, n_vocab, n_groups - 1) : nullptr;

        std::vector<ggml_tensor *> matrices = codec_head;
        matrices.insert(matrices.end(), codec_embd.begin(), codec_embd.end());
        matrices.insert(matrices.end(), {codec_embd0, proj});
        if (stack_node::covers(g, blocks, matrices, 2)) {
            return build_fast_frame(g, hidden, code, uniforms, params);
        }
        ggml_tensor * row = ggml_get_rows(c, codec_embd0, code);                                   // [n_embd_in, n_lanes]
        ggml_tensor * sum = row;
        ggml_tensor * x   = ggml_concat(c, hidden, ggml_reshape_3d(c, row, n_embd_in, 1, n_lanes), 1);
        x = ggml_reshape_2d(c, x, n_embd_in, 2 * n_lanes);
        for (int64_t k = 0; k < n_groups - 1; k++) {
            const kv_inputs in = blocks.inputs(g, k == 0 ? 2 : 1, k);
            ggml_tensor * logits = linear_rows(g, codec_head[size_t(k)], last(g, pass(g, x, in), in), nullptr);  // [n_vocab, n_lanes]
            code = device ? device->draw(logits, k) : draw(g, logits, uniforms, params, k);
            g.output("code." + std::to_string(k + 1), code);
            x   = ggml_get_rows(c, codec_embd[size_t(k)], code);
            sum = ggml_add(c, sum, x);
        }
        g.output("row_sum", sum);                                                                  // [n_embd_in, n_lanes]
    }

    void build_fast_frame(graph & g, ggml_tensor * hidden, ggml_tensor * code, ggml_tensor * uniforms, ggml_tensor * params) const {
        ggml_tensor *codes, *sum;
        stack_node::chain(g, blocks, {norm, proj, proj_b}, {codec_embd0, codec_head, codec_embd}, hidden, code, uniforms, params, &codes, &sum);
        g.output("codes", codes);                                                                 // [n_lanes, n_groups - 1]
        g.output("row_sum", sum);
    }

    stack_hparams hp;
    stack         blocks;
    int64_t       n_vocab, n_groups, n_embd_in, n_vocab0 = 0;
    ggml_tensor  *codec_embd0, *norm, *proj = nullptr, *proj_b = nullptr;
    std::vector<ggml_tensor *> codec_embd, codec_head;
};

} // namespace

std::unique_ptr<component> make_code_predictor(const loader & l) { return std::make_unique<code_predictor>(l); }

} // namespace omni
