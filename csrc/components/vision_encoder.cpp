// The vision encoder: patches of an image, or of the frames of a film, in; a row for each block of merge * merge
// patches out, and further rows from earlier blocks, which a language model adds in its first layers (DeepStack,
// arXiv 2406.04334).
#include "blocks/encoder_stack.h"
#include "blocks/linear.h"
#include "blocks/row_merger.h"
#include "components/component.h"

#include "core/error.h"

#include <algorithm>

namespace omni {

namespace {

struct hparams {
    encoder_hparams stack;
    int64_t n_embd_out, n_patch, merge, side;
    float   rope_theta;
    std::vector<int32_t> deepstack;  // after how many blocks further rows are taken, ascending
};

hparams read(const gguf_keys & kv) {
    const char * path = kv.file().path().c_str();
    hparams hp;
    hp.stack = {kv.size("n_layer"), kv.size("n_embd"), kv.size("n_head"), kv.size("head_dim"), kv.size("n_ff"),
                kv.above_zero("layer_norm_eps"), /*gelu_tanh =*/true};
    hp.n_embd_out = kv.size("n_embd_out");
    hp.n_patch    = kv.size("n_channels") * kv.size("temporal_patch") * kv.size("patch_size") * kv.size("patch_size");
    hp.merge      = kv.size("merge");
    hp.side       = kv.size("grid_side");
    hp.rope_theta = kv.above_zero("rope_theta");
    const uint32_t n_deepstack = kv.u32("n_deepstack");
    if (n_deepstack) {  // an empty array cannot be in a file
        hp.deepstack = kv.sizes("deepstack");
    }
    if (hp.stack.n_layer > 1024 || hp.merge > 1024) {
        fail(OMNI_ERROR_FORMAT, "%s: vision_encoder.n_layer is %lld and .merge %lld, expected at most 1024", path,
             (long long) hp.stack.n_layer, (long long) hp.merge);
    }
    if (hp.stack.head_dim % 4 != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: vision_encoder.head_dim is %lld, expected a multiple of 4 (rotary positions of two axes turn pairs)",
             path, (long long) hp.stack.head_dim);
    }
    const bool rising = std::is_sorted(hp.deepstack.begin(), hp.deepstack.end(), std::less_equal<int32_t>());
    if (hp.deepstack.size() != n_deepstack || !rising || (n_deepstack && hp.deepstack.back() > hp.stack.n_layer)) {
        fail(OMNI_ERROR_FORMAT, "%s: vision_encoder.deepstack has %zu numbers, expected n_deepstack, %u, ascending and at most n_layer, %lld",
             path, hp.deepstack.size(), n_deepstack, (long long) hp.stack.n_layer);
    }
    return hp;
}

struct vision_encoder final : component {
    explicit vision_encoder(const loader & l)
        : hp(read(l.kv)), patch_w(l.weight("patch_embd.weight", {hp.n_patch, hp.stack.n_embd})),
          patch_b(l.f32("patch_embd.bias", {hp.stack.n_embd})), table(l.scope("pos_embd"), hp.stack.n_embd, hp.side) {
        for (int64_t i = 0; i < hp.stack.n_layer; i++) {
            layers.emplace_back(l.scope("blk").scope(i), hp.stack);
        }
        const int64_t n_join = hp.merge * hp.merge;
        mergers.emplace_back(l.scope("merger"), hp.stack.n_embd, n_join, hp.n_embd_out, hp.stack.layer_norm_eps, false);
        for (size_t i = 0; i < hp.deepstack.size(); i++) {
            mergers.emplace_back(l.scope("deepstack").scope(int64_t(i)), hp.stack.n_embd, n_join, hp.n_embd_out,
                                 hp.stack.layer_norm_eps, true);
        }
    }

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_ENCODER;
        i.n_embd      = int32_t(hp.n_patch);
        i.n_hidden    = int32_t(hp.n_embd_out);
        i.n_rows_min  = int32_t(hp.merge * hp.merge);
        i.grid_merge  = int32_t(hp.merge);
        i.n_deepstack = int32_t(hp.deepstack.size());
        return i;
    }

    int64_t n_rows_out(int64_t n) const override { return n / (hp.merge * hp.merge); }

    size_t max_nodes(const graph_key &) const override {
        return layers.size() * encoder_layer::max_nodes() + mergers.size() * row_merger::max_nodes() + 128;
    }

    // Taps: patches [n_embd, n], the sum of patches and positions; blk.{i}.out [n_embd, n]
    void build(graph & g) const override {
        ggml_context * c = g.ctx;
        const grid_places at(g.key.grid_h, g.key.grid_w, hp.merge);
        const int64_t n = g.key.n, n_places = int64_t(at.row.size()), n_frames = n / n_places;

        ggml_tensor * x = linear(g, patch_w, g.input("rows", GGML_TYPE_F32, hp.n_patch, n), patch_b, 1);  // [n_embd, n]
        x = ggml_add(c, ggml_reshape_3d(c, x, hp.stack.n_embd, n_places, n_frames), table.build(g, at));  // every frame alike
        x = g.tap("patches", ggml_reshape_2d(c, x, hp.stack.n_embd, n));
        const grid_turn turned = make_grid_turn(g, at, n_frames, hp.stack.head_dim, hp.rope_theta);
        size_t level = 0;
        for (size_t i = 0; i < layers.size(); i++) {
            x = g.tap("blk." + std::to_string(i) + ".out", layers[i].build(g, x, n_frames, &turned));
            if (level < hp.deepstack.size() && size_t(hp.deepstack[level]) == i + 1) {
                g.output("deepstack." + std::to_string(level), mergers[level + 1].build(g, x));         // [n_embd_out, n / merge^2]
                level++;
            }
        }
        g.output("rows_out", mergers[0].build(g, x));                                                     // [n_embd_out, n / merge^2]
    }

    hparams                    hp;
    ggml_tensor *              patch_w, *patch_b;
    grid_table                 table;
    std::vector<encoder_layer> layers;
    std::vector<row_merger>    mergers;  // the last block's, then those of deepstack
};

} // namespace

std::unique_ptr<component> make_vision_encoder(const loader & l) { return std::make_unique<vision_encoder>(l); }

} // namespace omni
