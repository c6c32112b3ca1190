#include "blocks/moe.h"

#include "blocks/linear.h"
#include "core/error.h"

namespace omni {

moe_hparams::moe_hparams(const gguf_keys & kv)
    : n_expert(kv.size("n_expert")), n_expert_used(kv.size("n_expert_used")), n_ff(kv.size("n_ff_expert")),
      n_ff_shared(kv.u32("n_ff_shared") ? kv.size("n_ff_shared") : 0), norm_topk(kv.boolean("norm_topk")) {
    if (n_expert_used > n_expert || n_expert > (1 << 16)) {
        fail(OMNI_ERROR_FORMAT, "%s: n_expert_used is %lld of n_expert %lld, expected at most as many, and at most %d",
             kv.file().path().c_str(), (long long) n_expert_used, (long long) n_expert, 1 << 16);
    }
}

moe_mlp::moe_mlp(const loader & l, int64_t n_embd, const moe_hparams & hp)
    : hp(hp), router(l.f32("ffn_gate_inp.weight", {n_embd, hp.n_expert})),
      gate(l.matrix("ffn_gate_exps.weight", {n_embd, hp.n_ff, hp.n_expert})),
      up(l.matrix("ffn_up_exps.weight", {n_embd, hp.n_ff, hp.n_expert})),
      down(l.matrix("ffn_down_exps.weight", {hp.n_ff, n_embd, hp.n_expert})) {
    if (hp.n_ff_shared) {
        shared_gate = l.f32("ffn_gate_inp_shexp.weight", {n_embd});
        shared.emplace(l, n_embd, hp.n_ff_shared, "_shexp");
    }
}

// y [n, k, n_rows], w [1, k, n_rows] -> [n, n_rows], the sum over k of y * w.
static void weighted_sum(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * y = dst->src[0];
    const ggml_tensor * w = dst->src[1];
    const int64_t n = y->ne[0], k = y->ne[1], n_rows = y->ne[2];
    const bool by_row = n_rows >= nth;  // else by column; the sum of one number is made by one thread either way
    const int64_t row0 = by_row ? n_rows * ith / nth : 0, row1 = by_row ? n_rows * (ith + 1) / nth : n_rows;
    const int64_t col0 = by_row ? 0 : n * ith / nth, col1 = by_row ? n : n * (ith + 1) / nth;
    for (int64_t r = row0; r < row1; r++) {
        const float * weight = static_cast<const float *>(w->data) + r * k;
        const float * from   = static_cast<const float *>(y->data) + r * k * n;
        float *       to     = static_cast<float *>(dst->data) + r * n;
        for (int64_t c = col0; c < col1; c++) {
            to[c] = weight[0] * from[c];
        }
        for (int64_t e = 1; e < k; e++) {
            for (int64_t c = col0; c < col1; c++) {
                to[c] += weight[e] * from[e * n + c];
            }
        }
    }
}

static ggml_tensor * sum_of_experts(graph & g, ggml_tensor * y, ggml_tensor * w) {
    ggml_context * c = g.ctx;
    const int64_t n = y->ne[0], k = y->ne[1], n_rows = y->ne[2];
    if (g.cpu) {  // one node in place of 2k
        ggml_tensor * args[] = {y, w};
        return ggml_custom_4d(c, GGML_TYPE_F32, n, n_rows, 1, 1, args, 2, weighted_sum, GGML_N_TASKS_MAX, nullptr);
    }
    y = ggml_mul(c, y, w);
    ggml_tensor * sum = ggml_view_2d(c, y, n, n_rows, y->nb[2], 0);
    for (int64_t e = 1; e < k; e++) {
        sum = ggml_add(c, sum, ggml_view_2d(c, y, n, n_rows, y->nb[2], size_t(e) * y->nb[1]));
    }
    return k > 1 ? sum : ggml_cont(c, sum);
}

ggml_tensor * moe_mlp::build(graph & g, ggml_tensor * x, int64_t n_lanes) const {
    ggml_context * c = g.ctx;
    const int64_t n_embd = x->ne[0], n_rows = x->ne[1], k = hp.n_expert_used;
    ggml_tensor * p    = ggml_soft_max(c, linear(g, router, x, nullptr, n_lanes));          // [n_expert, n_rows]
    ggml_tensor * best = ggml_argsort_top_k(c, p, int(k));                                  // I32 [k, n_rows]
    ggml_tensor * w    = ggml_get_rows(c, ggml_reshape_3d(c, p, 1, hp.n_expert, n_rows), best);  // [1, k, n_rows]
    if (hp.norm_topk) {
        ggml_tensor * flat = ggml_reshape_2d(c, w, k, n_rows);
        w = ggml_reshape_3d(c, ggml_div(c, flat, ggml_sum_rows(c, flat)), 1, k, n_rows);
    }
    ggml_tensor * rows = ggml_reshape_3d(c, x, n_embd, 1, n_rows);
    ggml_tensor * h = ggml_swiglu_split(c, ggml_mul_mat_id(c, gate, rows, best), ggml_mul_mat_id(c, up, rows, best));  // [n_ff, k, n_rows]
    g.tap(std::string(router->name) + ".chosen", best);
    g.tap(std::string(gate->name) + ".in", x);
    g.tap(std::string(up->name) + ".in", x);
    g.tap(std::string(down->name) + ".in", h);
    ggml_tensor * y = sum_of_experts(g, ggml_mul_mat_id(c, down, h, best), w);              // [n_embd, n_rows]
    if (shared) {
        ggml_tensor * open = ggml_sigmoid(c, linear(g, ggml_reshape_2d(c, shared_gate, n_embd, 1), x, nullptr, n_lanes));
        y = ggml_add(c, y, ggml_mul(c, shared->build(g, x, n_lanes), open));                // [1, n_rows] over columns
    }
    return y;
}

} // namespace omni
