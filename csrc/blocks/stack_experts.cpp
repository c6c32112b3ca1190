// Layers of experts in a stack_node (blocks/moe.h), whose few rows each go through some experts alone.
#include "blocks/stack_node.h"

#include <cmath>

namespace omni {

// The router's scores, and behind them how much each row takes of the expert for all.
void stack_node::route(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n = n_rows(passes_[size_t(s.pass)]);
    const char * x = prepare(step, thread, 0, l.router, x_.data(), hp_.n_embd, n, floats(blocks_.layers[size_t(s.layer)].ffn_norm));
    if (piece == l.router.n_pieces) {
        return l.open.multiply(0, 1, x, form_bytes_, n, opens_.data(), 1);  // F32 both, so of one form
    }
    const int64_t r0 = piece * l.router.rows, r1 = std::min(r0 + l.router.rows, l.router.n_out);
    l.router.multiply(r0, r1, x, form_bytes_, n, routes_.data() + r0, l.router.n_out);
}

// A row's most probable experts and their shares.
void stack_node::choose(const step & s, int64_t row) {
    const layer_products & l = layers_[size_t(s.layer)];
    float * p = routes_.data() + row * l.router.n_out;
    choice * to = choices_.data() + row * n_used_;
    softmax_row(p, l.router.n_out, 1.0f);
    double sum = 0.0;
    for (int64_t j = 0; j < n_used_; j++) {
        const int64_t best = std::max_element(p, p + l.router.n_out) - p;  // of equals the first
        to[j] = {int32_t(best), p[best]};
        sum += double(p[best]);
        p[best] = -1.0f;
    }
    for (int64_t j = 0; hp_.moe->norm_topk && j < n_used_; j++) {
        to[j].weight /= float(sum);
    }
    if (l.open.data) {
        opens_[size_t(row)] = 1.0f / (1.0f + std::exp(-opens_[size_t(row)]));
    }
}

// Pieces of silu(gate) * up: of the expert for all, then of each row's own.
void stack_node::experts(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n = n_rows(passes_[size_t(s.pass)]);
    const float * norm = floats(blocks_.layers[size_t(s.layer)].ffn_norm);
    thread_memory & m = memory_[size_t(thread)];
    if (piece < l.gate.n_pieces) {
        const int slot = l.gate.kernel.type == l.expert_gate.kernel.type ? 0 : 1;
        const char * x = prepare(step, thread, slot, l.gate, x_.data(), hp_.n_embd, n, norm);
        return gate_rows(l.gate, l.up, piece, x, x, form_bytes_, n, h_.data(), m);
    }
    piece -= l.gate.n_pieces;
    const int64_t which = piece / l.expert_gate.n_pieces, expert = choices_[size_t(which)].expert;
    const char * x = prepare(step, thread, 0, l.expert_gate, x_.data(), hp_.n_embd, n, norm) + size_t(which / n_used_) * form_bytes_;
    gate_rows(l.expert_gate.at(expert), l.expert_up.at(expert), piece % l.expert_gate.n_pieces, x, x, form_bytes_, 1,
              mixed_.data() + which * l.expert_down.n_in, m);
}

// What the experts made of some rows, in the form of the products down, and what the one for all made.
void stack_node::make_mixed_forms(const layer_products & l, int64_t r0, int64_t n_rows, char * experts, char * shared) const {
    const cpu_product & down = l.expert_down;
    for (int64_t i = r0 * n_used_; i < (r0 + n_rows) * n_used_; i++) {
        down.kernel.ready(down.kernel.type, mixed_.data() + i * down.n_in, down.n_in, experts + size_t(i) * form_bytes_);
    }
    for (int64_t i = r0; l.down.data && i < r0 + n_rows; i++) {
        l.down.kernel.ready(l.down.kernel.type, h_.data() + i * l.down.n_in, l.down.n_in, shared + size_t(i) * form_bytes_);
    }
}

// Some columns of all rows: the weighted sum of what the experts make of them, added to the stream.
void stack_node::mix(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n = n_rows(passes_[size_t(s.pass)]), r0 = piece * l.expert_down.rows, r1 = std::min(r0 + l.expert_down.rows, l.expert_down.n_out);
    thread_memory & m = memory_[size_t(thread)];
    const bool ready = steps_[size_t(step) - 1].what == stage_form;
    char * forms  = aligned(ready ? forms_ : m.forms);
    char * shared = forms + size_t(n_forms(ready ? n_rows_max_ : n_own_)) * form_bytes_;
    const int64_t stamp = (m.serial << 24) + step;
    if (!ready && m.prepared[0] != stamp) {
        m.prepared[0] = m.prepared[1] = stamp;
        make_mixed_forms(l, 0, n, forms, shared);
    }
    float * made = m.local.data(), * sum = made + max_piece_rows;
    for (int64_t i = 0; i < n; i++) {
        std::fill(sum, sum + (r1 - r0), 0.0f);
        const auto add = [&](const cpu_product & p, const char * x, float weight) {
            p.multiply(r0, r1, x, form_bytes_, 1, made, max_piece_rows);
            for (int64_t r = 0; r < r1 - r0; r++) {
                sum[r] += weight * made[r];
            }
        };
        for (int64_t j = i * n_used_; j < (i + 1) * n_used_; j++) {
            add(l.expert_down.at(choices_[size_t(j)].expert), forms + size_t(j) * form_bytes_, choices_[size_t(j)].weight);
        }
        if (l.down.data) {
            add(l.down, shared + size_t(i) * form_bytes_, opens_[size_t(i)]);
        }
        for (int64_t r = r0; r < r1; r++) {
            x_[size_t(i * hp_.n_embd + r)] += sum[r - r0];
        }
    }
}

} // namespace omni
