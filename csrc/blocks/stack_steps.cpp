// What the threads do in each step of a stack_node.
#include "blocks/stack_node.h"

#include "blocks/draw.h"

#include <algorithm>
#include <cstring>

namespace omni {

void stack_node::piece(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    switch (s.what) {
        case stage_load:   return load(piece);
        case stage_form:   return form(step, piece, thread);
        case stage_proj:   return project(step, piece, thread);
        case stage_qkv:    return qkv(step, piece, thread);
        case stage_keep:   return keep(s, piece, thread);
        case stage_attend: return (passes_[size_t(s.pass)].many ? attend_many(s, piece, thread) : attend(s, piece, thread));
        case stage_out:    return add_product(step, piece, thread, layers_[size_t(s.layer)].o, y_.data());
        case stage_gate:   return gate(step, piece, thread);
        case stage_down:   return add_product(step, piece, thread, layers_[size_t(s.layer)].down, h_.data());
        case stage_route:  return route(step, piece, thread);
        case stage_choose: return choose(s, piece);
        case stage_experts: return experts(step, piece, thread);
        case stage_mix:    return mix(step, piece, thread);
        case stage_head:   return head(step, piece, thread);
        case stage_draw:   return draw_lane(s, piece);
        case stage_each:   return each_row(step, piece, thread);
    }
}

// Rows of x, normed if asked, in the form that a product wants: of few, each thread makes them for itself, once in a step,
// which is less than meeting for it would cost; of many there was a step.
const char * stack_node::prepare(int32_t step, int thread, int slot, const cpu_product & p, const float * x, int64_t x_stride, int64_t n_rows,
                                 const float * norm) {
    thread_memory & m = memory_[size_t(thread)];
    if (steps_[size_t(step) - 1].what == stage_form) {
        return aligned(forms_) + size_t(slot * n_forms(n_rows_max_)) * form_bytes_;
    }
    char * forms = aligned(m.forms) + size_t(slot * n_forms(n_own_)) * form_bytes_;
    const int64_t stamp = (m.serial << 24) + step;
    if (m.prepared[slot] != stamp) {
        m.prepared[slot] = stamp;
        make_forms(p, x, x_stride, n_rows, norm, m, forms);
    }
    return forms;
}

void stack_node::make_forms(const cpu_product & p, const float * x, int64_t x_stride, int64_t n_rows, const float * norm, thread_memory & m, char * to) {
    for (int64_t r = 0; r < n_rows; r++) {
        const float * row = x + r * x_stride;
        if (norm) {
            rms_norm_row(row, norm, hp_.rms_eps, m.normed.data(), p.n_in);
            row = m.normed.data();
        }
        p.kernel.ready(p.kernel.type, row, p.n_in, to + size_t(r) * form_bytes_);
    }
}

// A type of weights has the slot of the first product with it.
stack_node::form_source stack_node::source(const step & s) const {
    if (s.what == stage_each) {  // whose layer is a head
        return {x_.data(), floats(ends_.norm), {&passes_[size_t(s.pass)].each[size_t(s.layer)]}};
    }
    const layer_products & l = layers_[size_t(s.layer)];
    const stack::layer & w = blocks_.layers[size_t(s.layer)];
    const auto other = [](const cpu_product & p, const cpu_product & than) { return p.kernel.type == than.kernel.type ? nullptr : &p; };
    switch (s.what) {
        case stage_proj: return {in_.data(), nullptr, {&proj_}};
        case stage_qkv:  return {x_.data(), floats(w.attn_norm), {&l.q, other(l.k, l.q), other(l.v, l.q) ? other(l.v, l.k) : nullptr}};
        case stage_out:  return {y_.data(), nullptr, {&l.o}};
        case stage_gate: return {x_.data(), floats(w.ffn_norm), {&l.gate, other(l.up, l.gate)}};
        case stage_route: return {x_.data(), floats(w.ffn_norm), {&l.router}};
        case stage_experts: return {x_.data(), floats(w.ffn_norm), {&l.expert_gate, l.gate.data ? other(l.gate, l.expert_gate) : nullptr}};
        default:         return {h_.data(), nullptr, {&l.down}};
    }
}

// Some of many rows in the forms that the next step's products want.
void stack_node::form(int32_t step, int32_t piece, int thread) {
    const stack_node::step & next = steps_[size_t(step) + 1];
    const int64_t r0 = piece * rows_at_once, n = std::min(rows_at_once, n_rows(passes_[size_t(next.pass)]) - r0);
    const size_t slot_bytes = size_t(n_forms(n_rows_max_)) * form_bytes_;
    if (next.what == stage_mix) {
        return make_mixed_forms(layers_[size_t(next.layer)], r0, n, aligned(forms_), aligned(forms_) + slot_bytes);
    }
    const form_source from = source(next);
    for (int64_t slot = 0; slot < 3; slot++) {
        if (const cpu_product * p = from.wanted[slot]) {
            char * to = aligned(forms_) + size_t(slot) * slot_bytes + size_t(r0) * form_bytes_;
            make_forms(*p, from.x + r0 * p->n_in, p->n_in, n, from.norm, memory_[size_t(thread)], to);
        }
    }
}

void stack_node::look_up(const ggml_tensor * table, int32_t id, float * out) const {
    const char * row = static_cast<const char *>(table->data) + size_t(id) * table->nb[1];
    if (table->type == GGML_TYPE_F32) {
        std::memcpy(out, row, size_t(n_in_) * sizeof(float));
    } else {
        ggml_get_type_traits(table->type)->to_float(row, out, n_in_);
    }
}

// The first pass's rows: those given, or for a chain each lane's first row and that of its id.
void stack_node::load(int64_t i) {
    float * to = (ends_.proj ? in_ : x_).data();
    const float * given = floats(dst_->src[0]) + i * n_in_;
    if (!chain_.table0) {
        std::copy_n(given, n_in_, to + i * n_in_);
        return;
    }
    std::copy_n(given, n_in_, to + 2 * i * n_in_);
    look_up(chain_.table0, static_cast<const int32_t *>(dst_->src[1]->data)[i], to + (2 * i + 1) * n_in_);
    std::copy_n(to + (2 * i + 1) * n_in_, n_in_, sum_.data() + i * n_in_);
}

void stack_node::project(int32_t step, int32_t piece, int thread) {
    const int64_t n_rows = passes_[size_t(steps_[size_t(step)].pass)].n * n_lanes_;
    const int64_t r0 = piece * proj_.rows, r1 = std::min(r0 + proj_.rows, proj_.n_out);
    const char * x = prepare(step, thread, 0, proj_, in_.data(), n_in_, n_rows, nullptr);
    proj_.multiply(r0, r1, x, form_bytes_, n_rows, x_.data() + r0, hp_.n_embd);
    for (int64_t i = 0; ends_.proj_b && i < n_rows; i++) {
        for (int64_t r = r0; r < r1; r++) {
            x_[size_t(i * hp_.n_embd + r)] += floats(ends_.proj_b)[r];
        }
    }
}

void stack_node::qkv(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n_rows = passes_[size_t(s.pass)].n * n_lanes_;
    const cpu_product * all[3] = {&l.q, &l.k, &l.v};
    float * to[3] = {q_.data(), k_.data(), v_.data()};
    int at = 0;
    for (; piece >= all[at]->n_pieces; at++) {
        piece -= all[at]->n_pieces;
    }
    const cpu_product & p = *all[at];
    int slot = 0;
    for (; all[slot]->kernel.type != p.kernel.type; slot++) {
    }
    const char * x = prepare(step, thread, slot, p, x_.data(), hp_.n_embd, n_rows, floats(blocks_.layers[size_t(s.layer)].attn_norm));
    const int64_t r0 = piece * p.rows, r1 = std::min(r0 + p.rows, p.n_out);
    p.multiply(r0, r1, x, form_bytes_, n_rows, to[at] + r0, p.n_out);
}

// Some rows of a product, added to the stream.
void stack_node::add_product(int32_t step, int32_t piece, int thread, const cpu_product & p, const float * x) {
    const int64_t n_rows = passes_[size_t(steps_[size_t(step)].pass)].n * n_lanes_;
    const int64_t r0 = piece * p.rows, r1 = std::min(r0 + p.rows, p.n_out);
    float * local = memory_[size_t(thread)].local.data();
    p.multiply(r0, r1, prepare(step, thread, 0, p, x, p.n_in, n_rows, nullptr), form_bytes_, n_rows, local, p.rows);
    for (int64_t i = 0; i < n_rows; i++) {
        for (int64_t r = r0; r < r1; r++) {
            x_[size_t(i * hp_.n_embd + r)] += local[i * p.rows + r - r0];
        }
    }
}

// A piece of silu(gate) * up, of some rows.
void stack_node::gate_rows(const cpu_product & gate, const cpu_product & up, int64_t piece, const char * x_gate, const char * x_up,
                           size_t x_stride, int64_t n_rows, float * h, thread_memory & m) {
    const int64_t n = gate.rows, r0 = piece * n, r1 = std::min(r0 + n, gate.n_out);
    float * gates = m.local.data(), * ups = gates + n_rows * n;
    gate.multiply(r0, r1, x_gate, x_stride, n_rows, gates, n);
    up.multiply(r0, r1, x_up, x_stride, n_rows, ups, n);
    for (int64_t i = 0; i < n_rows; i++) {
        swiglu(gates + i * n, ups + i * n, h + i * gate.n_out + r0, r1 - r0);
    }
}

void stack_node::gate(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n = n_rows(passes_[size_t(s.pass)]);
    const float * norm = floats(blocks_.layers[size_t(s.layer)].ffn_norm);
    const char * x = prepare(step, thread, 0, l.gate, x_.data(), hp_.n_embd, n, norm);
    const char * x_up = prepare(step, thread, l.up.kernel.type == l.gate.kernel.type ? 0 : 1, l.up, x_.data(), hp_.n_embd, n, norm);
    gate_rows(l.gate, l.up, piece, x, x_up, form_bytes_, n, h_.data(), memory_[size_t(thread)]);
}

// The last row of each lane, normed: the hidden rows themselves as piece 0 where nothing is drawn, and the head's rows.
void stack_node::head(int32_t step, int32_t piece, int thread) {
    const pass & p = passes_[size_t(steps_[size_t(step)].pass)];
    const float * last = x_.data() + (p.n - 1) * hp_.n_embd;
    float * logits = logits_.data();
    if (!chain_.table0) {
        float * out = static_cast<float *>(dst_->data);
        logits = out + n_lanes_ * hp_.n_embd;
        for (int64_t i = 0; piece == 0 && i < n_lanes_; i++) {
            rms_norm_row(last + i * p.n * hp_.n_embd, floats(ends_.norm), hp_.rms_eps, out + i * hp_.n_embd, hp_.n_embd);
        }
        if (piece-- == 0) {
            return;
        }
    }
    const int64_t r0 = piece * p.head.rows, r1 = std::min(r0 + p.head.rows, p.head.n_out);
    const char * x = prepare(step, thread, 0, p.head, last, p.n * hp_.n_embd, n_lanes_, floats(ends_.norm));
    p.head.multiply(r0, r1, x, form_bytes_, n_lanes_, logits + r0, p.head.n_out);
}

// Every row, normed, through one of the heads; behind the hidden rows and the logits.
void stack_node::each_row(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const pass & p = passes_[size_t(s.pass)];
    const cpu_product & head = p.each[size_t(s.layer)];
    const int64_t n_rows = p.n * n_lanes_, width = head.n_out * int64_t(p.each.size());
    float * out = static_cast<float *>(dst_->data) + n_lanes_ * (hp_.n_embd + p.head.n_out) + s.layer * head.n_out;
    const char * x = prepare(step, thread, 0, head, x_.data(), hp_.n_embd, n_rows, floats(ends_.norm));
    const int64_t r0 = piece * head.rows, r1 = std::min(r0 + head.rows, head.n_out);
    head.multiply(r0, r1, x, form_bytes_, n_rows, out + r0, width);
}

void stack_node::draw_lane(const step & s, int64_t lane) {
    const ggml_tensor * uniforms = dst_->src[2];
    const int64_t n_vocab = passes_[size_t(s.pass)].head.n_out;
    const double u = static_cast<const double *>(uniforms->data)[lane * uniforms->ne[0] + s.pass];
    const int32_t id = draw_id(logits_.data() + lane * n_vocab, n_vocab, static_cast<const double *>(dst_->src[3]->data), u);
    static_cast<int32_t *>(dst_->data)[s.pass * n_lanes_ + lane] = id;
    float * to = (ends_.proj ? in_ : x_).data() + lane * n_in_;
    look_up(chain_.tables[size_t(s.pass)], id, to);
    for (int64_t i = 0; i < n_in_; i++) {
        sum_[size_t(lane * n_in_ + i)] += to[i];
    }
}

} // namespace omni
