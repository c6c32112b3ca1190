// What the threads do in each step of a stack_node.
#include "blocks/stack_node.h"

#include "blocks/draw.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni {

static char * aligned(std::vector<char> & v) {
    return reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(v.data()) + 63) / 64 * 64);
}

void stack_node::piece(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    switch (s.what) {
        case stage_load:   return load(piece);
        case stage_proj:   return project(step, piece, thread);
        case stage_qkv:    return qkv(step, piece, thread);
        case stage_attend: return attend(s, piece, thread);
        case stage_out:    return add_product(step, piece, thread, layers_[size_t(s.layer)].o, y_.data());
        case stage_gate:   return gate(step, piece, thread);
        case stage_down:   return add_product(step, piece, thread, layers_[size_t(s.layer)].down, h_.data());
        case stage_head:   return head(step, piece, thread);
        case stage_draw:   return draw_lane(s, piece);
        case stage_each:   return each_row(step, piece, thread);
    }
}

// Rows of x, normed if asked, in the form that a product wants: each thread makes them for itself, once in a step, which
// is less than meeting for it would cost.
const char * stack_node::prepare(int32_t step, int thread, int slot, const product & p, const float * x, int64_t x_stride, int64_t n_rows,
                                 const float * norm) {
    thread_memory & m = memory_[size_t(thread)];
    char * form = aligned(m.forms) + size_t(slot) * size_t(n_rows_max_) * form_bytes_;
    const int64_t stamp = (m.serial << 24) + step;
    if (m.prepared[slot] != stamp) {
        m.prepared[slot] = stamp;
        for (int64_t r = 0; r < n_rows; r++) {
            const float * row = x + r * x_stride;
            if (norm) {
                rms_norm_row(row, norm, hp_.rms_eps, m.normed.data(), p.n_in);
                row = m.normed.data();
            }
            p.kernel.ready(p.kernel.type, row, p.n_in, form + size_t(r) * form_bytes_);
        }
    }
    return form;
}

static const float * floats(const ggml_tensor * t) { return static_cast<const float *>(t->data); }

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
    const product * all[3] = {&l.q, &l.k, &l.v};
    float * to[3] = {q_.data(), k_.data(), v_.data()};
    int at = 0;
    for (; piece >= all[at]->n_pieces; at++) {
        piece -= all[at]->n_pieces;
    }
    const product & p = *all[at];
    int slot = 0;
    for (; all[slot]->kernel.type != p.kernel.type; slot++) {
    }
    const char * x = prepare(step, thread, slot, p, x_.data(), hp_.n_embd, n_rows, floats(blocks_.layers[size_t(s.layer)].attn_norm));
    const int64_t r0 = piece * p.rows, r1 = std::min(r0 + p.rows, p.n_out);
    p.multiply(r0, r1, x, form_bytes_, n_rows, to[at] + r0, p.n_out);
}

stack_node::row_place stack_node::place(const pass & p, int64_t row) const {
    if (p.at >= 0) {
        const int64_t at = p.at + row % p.n;
        return {row / p.n, at, at + 1, int32_t(at)};
    }
    const int64_t to = static_cast<const int64_t *>(dst_->src[2]->data)[row];
    const int64_t n_kv = dst_->src[3]->ne[0];
    const float * mask = floats(dst_->src[3]) + row * n_kv;
    const int64_t seen = std::partition_point(mask, mask + n_kv, [](float m) { return m == 0.0f; }) - mask;
    return {to / n_context_, to % n_context_, seen, static_cast<const int32_t *>(dst_->src[1]->data)[row]};
}

// Cosines, then sines, of each row of a pass.
const float * stack_node::turns(const step & s, int thread) {
    thread_memory & m = memory_[size_t(thread)];
    const pass & p = passes_[size_t(s.pass)];
    const int64_t stamp = (m.serial << 24) + s.pass, half = hp_.head_dim / 2;
    for (int64_t r = 0; m.turned != stamp && r < p.n * n_lanes_; r++) {
        const int32_t position = place(p, r).position;
        float * to = m.turns.data() + r * hp_.head_dim;
        for (int64_t j = 0; j < half; j++) {
            const float angle = float(position) / periods_[size_t(j)];
            to[j]        = std::cos(angle);
            to[half + j] = std::sin(angle);
        }
    }
    m.turned = stamp;
    return m.turns.data();
}

static void turn(float * x, const float * turns, int64_t half) {
    for (int64_t j = 0; j < half; j++) {
        const float a = x[j], b = x[half + j], c = turns[j], s = turns[half + j];
        x[j]        = a * c - b * s;
        x[half + j] = a * s + b * c;
    }
}

// A lane's rows for the heads of one group: its keys and values go into the cache, then each row looks.
void stack_node::attend(const step & s, int32_t piece, int thread) {
    thread_memory & m = memory_[size_t(thread)];
    const pass & p = passes_[size_t(s.pass)];
    const int64_t lane = piece / hp_.n_head_kv, h = piece % hp_.n_head_kv, hd = hp_.head_dim, width = hp_.kv_width();
    const float * angles = turns(s, thread);
    const ggml_tensor * keys = keys_[size_t(s.layer)], * values = values_[size_t(s.layer)];
    const bool half = keys->type == GGML_TYPE_F16;
    for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++) {
        const row_place at = place(p, row);
        float * k = k_.data() + row * width + h * hd;
        rms_norm_row(k, floats(blocks_.layers[size_t(s.layer)].attn.k_norm), hp_.rms_eps, k, hd);
        turn(k, angles + row * hd, hd / 2);
        char * to = static_cast<char *>(keys->data) + size_t(at.lane) * keys->nb[3] + size_t(at.at) * keys->nb[1] + size_t(h * hd) * keys->nb[0];
        if (half) {
            ggml_fp32_to_fp16_row(k, reinterpret_cast<ggml_fp16_t *>(to), hd);
        } else {
            std::memcpy(to, k, size_t(hd) * sizeof(float));
        }
        to = static_cast<char *>(values->data) + size_t(at.lane) * values->nb[3] + size_t(at.at) * values->nb[0] + size_t(h * hd) * values->nb[1];
        for (int64_t e = 0; e < hd; e++, to += values->nb[1]) {
            const float v = v_[size_t(row * width + h * hd + e)];
            if (half) {
                *reinterpret_cast<ggml_fp16_t *>(to) = ggml_fp32_to_fp16(v);
            } else {
                *reinterpret_cast<float *>(to) = v;
            }
        }
    }
    for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++) {
        attend_row(s, row, h, m);
    }
}

void stack_node::attend_row(const step & s, int64_t row, int64_t head_kv, thread_memory & m) {
    const int64_t hd = hp_.head_dim, group = hp_.n_head / hp_.n_head_kv;
    const row_place at = place(passes_[size_t(s.pass)], row);
    const int64_t n = (at.seen + 31) / 32 * 32;  // values beyond what is seen count for nothing
    const ggml_tensor * keys = keys_[size_t(s.layer)], * values = values_[size_t(s.layer)];
    char * ready = aligned(m.ready);
    for (int64_t i = 0; i < group; i++) {
        const float * q = q_.data() + (row * hp_.n_head + head_kv * group + i) * hd;
        rms_norm_row(q, floats(blocks_.layers[size_t(s.layer)].attn.q_norm), hp_.rms_eps, m.queries.data(), hd);
        turn(m.queries.data(), m.turns.data() + row * hd, hd / 2);
        of_keys_.ready(of_keys_.type, m.queries.data(), hd, ready + size_t(i) * ready_bytes_);
    }
    const char * k = static_cast<const char *>(keys->data) + size_t(at.lane) * keys->nb[3] + size_t(head_kv * hd) * keys->nb[0];
    of_keys_.multiply(of_keys_.type, k, keys->nb[1], at.seen, hd, ready, ready_bytes_, group, m.scores.data(), n);
    for (int64_t i = 0; i < group; i++) {
        float * scores = m.scores.data() + i * n;
        softmax_row(scores, at.seen, 1.0f / std::sqrt(float(hd)));
        std::fill(scores + at.seen, scores + n, 0.0f);
        of_values_.ready(of_values_.type, scores, n, ready + size_t(i) * ready_bytes_);
    }
    const char * v = static_cast<const char *>(values->data) + size_t(at.lane) * values->nb[3] + size_t(head_kv * hd) * values->nb[1];
    of_values_.multiply(of_values_.type, v, values->nb[1], hd, n, ready, ready_bytes_, group,
                        y_.data() + (row * hp_.n_head + head_kv * group) * hd, hd);
}

// Some rows of a product, added to the stream.
void stack_node::add_product(int32_t step, int32_t piece, int thread, const product & p, const float * x) {
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

void stack_node::gate(int32_t step, int32_t piece, int thread) {
    const stack_node::step & s = steps_[size_t(step)];
    const layer_products & l = layers_[size_t(s.layer)];
    const int64_t n_rows = passes_[size_t(s.pass)].n * n_lanes_, n = l.gate.rows;
    const int64_t r0 = piece * n, r1 = std::min(r0 + n, l.gate.n_out);
    float * gates = memory_[size_t(thread)].local.data(), * ups = gates + n_rows * n;
    const float * norm = floats(blocks_.layers[size_t(s.layer)].ffn_norm);
    l.gate.multiply(r0, r1, prepare(step, thread, 0, l.gate, x_.data(), hp_.n_embd, n_rows, norm), form_bytes_, n_rows, gates, n);
    const int slot = l.up.kernel.type == l.gate.kernel.type ? 0 : 1;
    l.up.multiply(r0, r1, prepare(step, thread, slot, l.up, x_.data(), hp_.n_embd, n_rows, norm), form_bytes_, n_rows, ups, n);
    for (int64_t i = 0; i < n_rows; i++) {
        swiglu(gates + i * n, ups + i * n, h_.data() + i * l.down.n_in + r0, r1 - r0);
    }
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
    const product & head = p.each[size_t(s.layer)];
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
