#include "blocks/stack_node.h"

#include "blocks/draw.h"
#include "blocks/linear.h"

#include <algorithm>
#include <cmath>

namespace omni {

bool stack_node::covers(const graph & g, const stack & blocks, const std::vector<ggml_tensor *> & matrices, int64_t n) {
    const stack_hparams & hp = blocks.hp;
    const bool many = n > max_single_rows;
    if (!g.cpu || g.tapped() || (hp.moe && many) || hp.head_dim % 32 != 0) {
        return false;
    }
    for (const stack::layer & l : blocks.layers) {
        const ggml_type kv = g.state_lanes(l.attn.cache.k)->type;
        std::vector<const ggml_tensor *> all = {l.attn.q, l.attn.k, l.attn.v, l.attn.o};
        if (const swiglu_mlp * mlp = l.mlp ? &*l.mlp : l.moe->shared ? &*l.moe->shared : nullptr) {
            all.insert(all.end(), {mlp->gate, mlp->up, mlp->down});
        }
        if (l.moe) {
            all.insert(all.end(), {l.moe->router, l.moe->shared_gate, l.moe->gate, l.moe->up, l.moe->down});
            if (l.moe->gate->type != l.moe->up->type || (l.moe->shared && l.moe->shared->gate->type != l.moe->shared->up->type)) {
                return false;  // as no file of ours has it
            }
        }
        if (!std::all_of(all.begin(), all.end(), [&](const ggml_tensor * w) { return cpu_product::serves(w, many); })) {
            return false;
        }
        if (!find_attend(kv, hp.head_dim).look || !l.attn.q_norm || !l.attn.k_norm) {
            return false;
        }
        if (hp.moe && kv != GGML_TYPE_F32) {
            return false;  // ggml rounds a query as it rounds keys, and many rows of experts go its way
        }
    }
    return std::all_of(matrices.begin(), matrices.end(), [&](const ggml_tensor * w) { return cpu_product::serves(w, many); });
}

stack_node::stack_node(graph & g, const stack & blocks, const stack_ends & ends, int64_t n, int64_t n_live)
    : blocks_(blocks), hp_(blocks.hp), ends_(ends), n_lanes_(g.key.n_lanes), n_in_(ends.proj ? ends.proj->ne[0] : blocks.hp.n_embd),
      n_rows_max_(n * g.key.n_lanes), n_own_(std::min(n_rows_max_, std::max(own_rows, n_lanes_))),
      n_used_(blocks.hp.moe ? blocks.hp.moe->n_expert_used : 0), n_live_(n_live), group_(hp_.n_head / hp_.n_head_kv) {
    if (ends.proj) {
        proj_ = of(ends.proj);
    }
    for (const stack::layer & l : blocks.layers) {
        layer_products & p = layers_.emplace_back();
        p.q = of(l.attn.q);
        p.k = of(l.attn.k);
        p.v = of(l.attn.v);
        p.o = of(l.attn.o);
        if (const swiglu_mlp * mlp = l.mlp ? &*l.mlp : l.moe->shared ? &*l.moe->shared : nullptr) {
            p.gate = of(mlp->gate);
            p.up   = of(mlp->up);
            p.down = of(mlp->down);
        }
        if (l.moe) {
            p.router      = of(l.moe->router);
            p.expert_gate = of(l.moe->gate);
            p.expert_up   = of(l.moe->up);
            p.expert_down = of(l.moe->down);
            p.open        = l.moe->shared ? of(l.moe->shared_gate) : cpu_product();
        }
        keys_.push_back(g.state_lanes(l.attn.cache.k));
        values_.push_back(g.state_lanes(l.attn.cache.v));
    }
    n_context_ = keys_[0]->ne[1];
    n_live_    = n_live_ ? n_live_ : n_context_;
    attend_    = find_attend(keys_[0]->type, hp_.head_dim);
    const int64_t n_threads = g.n_threads, n_looks = n_lanes_ * hp_.n_head_kv;
    seen_at_once_ = std::clamp<int64_t>(n_lanes_ * n_seen_blocks() / (4 * n_threads), 1, 4);
    gathered_heads_  = attend_.by_channel ? 1 : std::max<int64_t>(n_looks / n_threads, 1);  // what lies side by side is read once
    gathered_heads_  = std::min(gathered_heads_, hp_.n_head_kv);
    n_cuts_       = n_looks % n_threads != 0 && n_looks < 4 * n_threads ? hp_.head_dim / 32 : 1;
    for (int64_t j = 0; j < hp_.head_dim / 2; j++) {
        periods_.push_back(float(std::pow(double(hp_.rope_theta), 2.0 * double(j) / double(hp_.head_dim))));  // as rope()
    }
}

void stack_node::add_pass(const ggml_tensor * head, int64_t n, int64_t at, bool draws) {
    const int32_t i = int32_t(passes_.size()), rows = int32_t(n * n_lanes_);
    const bool many = rows > own_rows;
    passes_.push_back({n, at, many, head ? of(head) : cpu_product(), {}});
    if (i == 0) {
        steps_.push_back({stage_load, 0, i, draws ? int32_t(n_lanes_) : rows});
    }
    const auto pieces = [](int64_t rows) { return int32_t((rows + rows_at_once - 1) / rows_at_once); };
    const auto multiply = [&](stage what, int32_t layer, int32_t n_pieces) {
        if (many) {
            steps_.push_back({stage_form, layer, i, pieces(rows)});
        }
        steps_.push_back({what, layer, i, n_pieces});
    };
    if (ends_.proj) {
        multiply(stage_proj, 0, proj_.n_pieces);
    }
    const int32_t n_looks = int32_t(n_lanes_ * hp_.n_head_kv);
    for (int32_t l = 0; l < int32_t(layers_.size()); l++) {
        const layer_products & p = layers_[size_t(l)];
        multiply(stage_qkv, l, p.q.n_pieces + p.k.n_pieces + p.v.n_pieces);
        if (many) {
            steps_.push_back({stage_keep, l, i, n_looks});
            steps_.push_back({stage_attend, l, i, n_looks * pieces(n)});
        } else if (n_live_ <= 2 * attend_block) {
            steps_.push_back({stage_attend, l, i, n_looks});
        } else {  // enough to see for threads to share the positions of a head
            steps_.push_back({stage_keep_ask, l, i, n_looks});
            steps_.push_back({stage_see, l, i, int32_t(n_lanes_ * ((n_seen_blocks() + seen_at_once_ - 1) / seen_at_once_))});
            steps_.push_back({stage_gather, l, i, attend_.by_channel ? int32_t(n_looks * n_cuts_)
                                                                  : int32_t(n_lanes_ * ((hp_.n_head_kv + gathered_heads_ - 1) / gathered_heads_))});
        }
        multiply(stage_out, l, p.o.n_pieces);
        if (p.router.data) {
            multiply(stage_route, l, p.router.n_pieces + (p.open.data ? 1 : 0));
            steps_.push_back({stage_choose, l, i, rows});
            multiply(stage_experts, l, int32_t(rows * n_used_ * p.expert_gate.n_pieces) + p.gate.n_pieces);
            multiply(stage_mix, l, p.expert_down.n_pieces);
        } else {
            multiply(stage_gate, l, p.gate.n_pieces);
            multiply(stage_down, l, p.down.n_pieces);
        }
    }
    steps_.push_back({stage_head, 0, i, passes_.back().head.n_pieces + (draws ? 0 : 1)});
    if (draws) {
        steps_.push_back({stage_draw, 0, i, int32_t(n_lanes_)});
    }
}

void stack_node::reserve(int n_threads) {
    const size_t rows = size_t(n_rows_max_), hd = size_t(hp_.head_dim);
    int64_t n_wide = std::max(n_in_, hp_.n_embd);
    for (const layer_products & l : layers_) {
        for (const cpu_product * p : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down, &l.router, &l.open, &l.expert_gate, &l.expert_up, &l.expert_down}) {
            form_bytes_ = p->data ? std::max(form_bytes_, p->ready_bytes()) : form_bytes_;
            n_wide      = std::max(n_wide, p->n_in);
        }
    }
    int64_t n_vocab = 0;
    for (const pass & p : passes_) {
        form_bytes_ = p.head.data ? std::max(form_bytes_, p.head.ready_bytes()) : form_bytes_;
        n_vocab     = std::max(n_vocab, p.head.n_out);
        for (const cpu_product & head : p.each) {
            form_bytes_ = std::max(form_bytes_, head.ready_bytes());
        }
    }
    form_bytes_  = ends_.proj ? std::max(form_bytes_, proj_.ready_bytes()) : form_bytes_;
    asked_bytes_ = (attend_.ready_bytes(attend_.type, hp_.head_dim) + 63) / 64 * 64;
    in_.resize(ends_.proj ? rows * size_t(n_in_) : 0);
    x_.resize(rows * size_t(hp_.n_embd));
    q_.resize(rows * hd * size_t(hp_.n_head));
    k_.resize(rows * hd * size_t(hp_.n_head_kv));
    v_.resize(k_.size());
    y_.resize(q_.size());
    h_.resize(rows * size_t(layers_[0].down.n_in));
    routes_.resize(rows * size_t(layers_[0].router.n_out));
    opens_.resize(rows);
    choices_.resize(rows * size_t(n_used_));
    mixed_.resize(choices_.size() * size_t(layers_[0].expert_down.n_in));
    logits_.resize(chain_.table0 ? size_t(n_lanes_ * n_vocab) : 0);
    sum_.resize(chain_.table0 ? size_t(n_lanes_ * n_in_) : 0);
    const bool many = std::any_of(passes_.begin(), passes_.end(), [](const pass & p) { return p.many; });
    forms_.resize(many ? 3 * size_t(n_forms(n_rows_max_)) * form_bytes_ + 64 : 0);
    const int64_t at_once = group_ * (many ? rows_at_once : n_own_);                // of one head, as one piece of work
    int64_t n_asked = 0;
    for (const pass & p : passes_) {  // of a chain the first may have many rows, and those behind it few
        n_asked = std::max(n_asked, p.many ? at_once * n_threads : n_rows(p) * hp_.n_head);
    }
    scores_stride_ = (n_live_ + 2 * n_seen_blocks() + 15) / 16 * 16;
    scores_.resize(size_t(n_asked * scores_stride_));
    asked_.resize(size_t(n_asked) * asked_bytes_ + 64);
    memory_.resize(size_t(n_threads));
    team_.prepare(*this, n_threads);
    for (thread_memory & m : memory_) {
        m.normed.resize(size_t(n_wide));
        m.turns.resize(rows * hd);
        m.query.resize(hd);
        m.weights.resize(size_t(at_once * gathered_heads_ * n_live_));
        m.gathered.resize(size_t(at_once * gathered_heads_) * hd);
        m.local.resize(2 * rows * size_t(max_piece_rows));
        m.forms.resize(3 * size_t(n_forms(n_own_)) * form_bytes_ + 64);
    }
}

size_t stack_node::n_bytes() const {
    size_t n = forms_.size() + asked_.size() + choices_.size() * sizeof(choice);
    for (const std::vector<float> * v : {&in_, &x_, &q_, &k_, &v_, &y_, &h_, &logits_, &sum_, &routes_, &opens_, &mixed_, &scores_}) {
        n += v->size() * sizeof(float);
    }
    for (const thread_memory & m : memory_) {
        for (const std::vector<float> * v : {&m.normed, &m.turns, &m.query, &m.weights, &m.gathered, &m.local}) {
            n += v->size() * sizeof(float);
        }
        n += m.forms.size();
    }
    return n;
}

void stack_node::compute(ggml_tensor *, int thread, int n_threads, void * self) {
    stack_node & node = *static_cast<stack_node *>(self);
    node.memory_[size_t(thread)].serial++;
    node.team_.run(node, thread, n_threads);
}

void stack_node::decode(graph & g, const stack & blocks, const stack_ends & ends, ggml_tensor * x, const kv_inputs & in, ggml_tensor * head,
                        const std::vector<ggml_tensor *> & each) {
    std::shared_ptr<stack_node> node(new stack_node(g, blocks, ends, in.n, in.n_kv));
    node->add_pass(head, in.n, -1, false);
    for (ggml_tensor * one : each) {
        pass & p = node->passes_[0];
        const int32_t which = int32_t(p.each.size());
        p.each.emplace_back(one);
        if (p.many) {
            node->steps_.push_back({stage_form, which, 0, int32_t((node->n_rows(p) + rows_at_once - 1) / rows_at_once)});
        }
        node->steps_.push_back({stage_each, which, 0, p.each.back().n_pieces});
    }
    node->reserve(g.n_threads);
    const int64_t n_embd = blocks.hp.n_embd, n_vocab = head ? head->ne[1] : 0, n_each = each.empty() ? 0 : each[0]->ne[1];
    const int64_t n_heads = int64_t(each.size()), n_rows = in.n * in.n_lanes;
    ggml_tensor * args[] = {x, in.turns ? in.turns : in.pos, in.k_rows, in.mask};
    ggml_tensor * y = ggml_custom_4d(g.ctx, GGML_TYPE_F32, in.n_lanes * (n_embd + n_vocab) + n_rows * n_heads * n_each, 1, 1, 1, args, 4, compute,
                                     GGML_N_TASKS_MAX, node.get());
    node->dst_ = y;
    g.keep(node, node->n_bytes());
    g.output("hidden", ggml_view_2d(g.ctx, y, n_embd, in.n_lanes, size_t(n_embd) * sizeof(float), 0));
    size_t at = size_t(in.n_lanes * n_embd) * sizeof(float);
    if (head) {
        g.output("logits", ggml_view_2d(g.ctx, y, n_vocab, in.n_lanes, size_t(n_vocab) * sizeof(float), at));
        at += size_t(in.n_lanes * n_vocab) * sizeof(float);
    }
    if (n_heads) {
        const size_t row = size_t(n_each) * sizeof(float);
        g.output("each", ggml_view_3d(g.ctx, y, n_each, n_heads, n_rows, row, row * size_t(n_heads), at));
    }
}

void stack_node::copy_sum(ggml_tensor * dst, int thread, int, void * self) {
    const std::vector<float> & sum = static_cast<stack_node *>(self)->sum_;
    if (thread == 0) {
        std::copy(sum.begin(), sum.end(), static_cast<float *>(dst->data));
    }
}

void stack_node::chain(graph & g, const stack & blocks, const stack_ends & ends, const stack_chain & chain, ggml_tensor * first, ggml_tensor * id0,
                       ggml_tensor * uniforms, ggml_tensor * params, ggml_tensor ** ids, ggml_tensor ** sum) {
    std::shared_ptr<stack_node> node(new stack_node(g, blocks, ends, 2, 0));
    node->chain_ = chain;
    const int64_t n_passes = int64_t(chain.heads.size());
    for (int64_t k = 0; k < n_passes; k++) {
        node->add_pass(chain.heads[size_t(k)], k == 0 ? 2 : 1, k == 0 ? 0 : k + 1, true);
    }
    node->reserve(g.n_threads);
    ggml_tensor * args[] = {first, id0, uniforms, params};
    *ids = ggml_custom_4d(g.ctx, GGML_TYPE_I32, g.key.n_lanes, n_passes, 1, 1, args, 4, compute, GGML_N_TASKS_MAX, node.get());
    node->dst_ = *ids;
    *sum = ggml_custom_4d(g.ctx, GGML_TYPE_F32, node->n_in_, g.key.n_lanes, 1, 1, ids, 1, copy_sum, 1, node.get());
    g.keep(node, node->n_bytes());
}

} // namespace omni
