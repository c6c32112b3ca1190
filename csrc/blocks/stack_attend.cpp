// Attention in a stack_node: where rows are, what they leave in the cache, and what they see there.
#include "blocks/stack_node.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni {

stack_node::row_place stack_node::place(const pass & p, int64_t row) const {
    if (p.at >= 0) {
        const int64_t at = p.at + row % p.n;
        return {row / p.n, at, at + 1, int32_t(at)};
    }
    const int64_t to = static_cast<const int64_t *>(dst_->src[2]->data)[row];
    const int64_t n_kv = dst_->src[3]->ne[0];
    const float * mask = floats(dst_->src[3]) + row * n_kv;
    const int64_t seen = std::partition_point(mask, mask + n_kv, [](float m) { return m == 0.0f; }) - mask;
    return {to / n_context_, to % n_context_, seen, hp_.axes ? 0 : static_cast<const int32_t *>(dst_->src[1]->data)[row]};
}

// Cosines, then sines, of each row of a pass.
const float * stack_node::turns(const step & s, int thread) {
    if (hp_.axes) {
        return floats(dst_->src[1]);
    }
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

// A lane's rows for the heads of one group: its keys and values go into the cache, then each row looks. Many rows look in
// a step of their own, some at a time.
void stack_node::attend(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t lane = piece / hp_.n_head_kv, h = piece % hp_.n_head_kv;
    keep(s, piece, thread);
    for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++) {
        attend_rows(s, row, 1, h, memory_[size_t(thread)]);
    }
}

void stack_node::attend_many(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t n_looks = n_lanes_ * hp_.n_head_kv, look = piece % n_looks, lane = look / hp_.n_head_kv, first = piece / n_looks * rows_at_once;
    turns(s, thread);
    attend_rows(s, lane * p.n + first, std::min(rows_at_once, p.n - first), look % hp_.n_head_kv, memory_[size_t(thread)]);
}

void stack_node::keep(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t lane = piece / hp_.n_head_kv, h = piece % hp_.n_head_kv, hd = hp_.head_dim, width = hp_.kv_width();
    const float * angles = turns(s, thread);
    const ggml_tensor * keys = keys_[size_t(s.layer)], * values = values_[size_t(s.layer)];
    const bool half = keys->type == GGML_TYPE_F16;
    const row_place first = place(p, lane * p.n);  // the others follow
    char * to = static_cast<char *>(keys->data) + size_t(first.lane) * keys->nb[3] + size_t(first.at) * keys->nb[1] + size_t(h * hd) * keys->nb[0];
    for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++, to += keys->nb[1]) {
        float * k = k_.data() + row * width + h * hd;
        rms_norm_row(k, floats(blocks_.layers[size_t(s.layer)].attn.k_norm), hp_.rms_eps, k, hd);
        turn(k, angles + row * hd, hd / 2);
        if (half) {
            ggml_fp32_to_fp16_row(k, reinterpret_cast<ggml_fp16_t *>(to), hd);
        } else {
            std::memcpy(to, k, size_t(hd) * sizeof(float));
        }
    }
    to = static_cast<char *>(values->data) + size_t(first.lane) * values->nb[3] + size_t(first.at) * values->nb[0] + size_t(h * hd) * values->nb[1];
    for (int64_t e = 0; e < hd; e++, to += values->nb[1]) {
        const float * v = v_.data() + lane * p.n * width + h * hd + e;
        for (int64_t i = 0; i < p.n; i++, v += width) {
            if (half) {
                reinterpret_cast<ggml_fp16_t *>(to)[i] = ggml_fp32_to_fp16(*v);
            } else {
                reinterpret_cast<float *>(to)[i] = *v;
            }
        }
    }
}

// Some rows of a lane, which follow each other. What is seen goes by in blocks that stay in the cache for all of them.
void stack_node::attend_rows(const step & s, int64_t row0, int64_t n_rows, int64_t head_kv, thread_memory & m) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t hd = hp_.head_dim, group = hp_.n_head / hp_.n_head_kv, n_x = n_rows * group;
    const row_place last = place(p, row0 + n_rows - 1);
    const int64_t n = (last.seen + 31) / 32 * 32;  // values beyond what is seen count for nothing
    const ggml_tensor * keys = keys_[size_t(s.layer)], * values = values_[size_t(s.layer)];
    char * ready = aligned(m.ready);
    for (int64_t i = 0; i < n_x; i++) {
        const int64_t row = row0 + i / group;
        const float * q = q_.data() + (row * hp_.n_head + head_kv * group + i % group) * hd;
        rms_norm_row(q, floats(blocks_.layers[size_t(s.layer)].attn.q_norm), hp_.rms_eps, m.queries.data(), hd);
        turn(m.queries.data(), (hp_.axes ? floats(dst_->src[1]) : m.turns.data()) + row * hd, hd / 2);
        of_keys_.ready(of_keys_.type, m.queries.data(), hd, ready + size_t(i) * ready_bytes_);
    }
    const char * k = static_cast<const char *>(keys->data) + size_t(last.lane) * keys->nb[3] + size_t(head_kv * hd) * keys->nb[0];
    for (int64_t at = 0; at < last.seen; at += keys_at_once) {
        of_keys_.multiply(of_keys_.type, k + size_t(at) * keys->nb[1], keys->nb[1], std::min(keys_at_once, last.seen - at), hd, ready, ready_bytes_,
                          n_x, m.scores.data() + at, n);
    }
    for (int64_t i = 0; i < n_x; i++) {
        float * scores = m.scores.data() + i * n;
        const int64_t seen = place(p, row0 + i / group).seen;
        softmax_row(scores, seen, 1.0f / std::sqrt(float(hd)));
        std::fill(scores + seen, scores + n, 0.0f);
        of_values_.ready(of_values_.type, scores, n, ready + size_t(i) * ready_bytes_);
    }
    const char * v = static_cast<const char *>(values->data) + size_t(last.lane) * values->nb[3] + size_t(head_kv * hd) * values->nb[1];
    for (int64_t at = 0; at < hd; at += values_at_once) {
        of_values_.multiply(of_values_.type, v + size_t(at) * values->nb[1], values->nb[1], std::min(values_at_once, hd - at), n, ready, ready_bytes_,
                            n_x, m.looked.data() + at, hd);
    }
    for (int64_t i = 0; i < n_x; i++) {
        std::copy_n(m.looked.data() + i * hd, hd, y_.data() + ((row0 + i / group) * hp_.n_head + head_kv * group + i % group) * hd);
    }
}

} // namespace omni
