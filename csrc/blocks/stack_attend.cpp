// Attention in a stack_node: where rows are, what they leave in the cache, and what they see there.
#include "blocks/stack_node.h"

#include "core/backends.h"

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

// Where a lane's numbers of a cache lie: number i of row r.
static char * cell(const ggml_tensor * t, int64_t lane, int64_t i, int64_t r) {
    return static_cast<char *>(t->data) + size_t(lane) * t->nb[3] + size_t(r) * t->nb[1] + ggml_row_size(t->type, i);
}

static void store(ggml_type type, const float * x, int64_t n, char * to) {
    if (type == GGML_TYPE_F32) {
        std::memcpy(to, x, size_t(n) * sizeof(float));
    } else {
        cpu_traits(type).from_float(x, to, n);
    }
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

// Some rows of a lane, which follow each other, and the heads of one group of queries.
stack_node::look stack_node::look_of(const pass & p, int64_t which) const {
    const int64_t lane = which / hp_.n_head_kv;
    return {lane * p.n, p.n, which % hp_.n_head_kv, which * p.n * group_};
}

// Few rows: keys and values of a head go into the cache, and where there is little to see, the rows look at once.
void stack_node::keep_and_ask(const step & s, int32_t piece, int thread) {
    keep(s, piece, thread);
    ask(s, look_of(passes_[size_t(s.pass)], piece), thread);
}

void stack_node::attend(const step & s, int32_t piece, int thread) {
    keep_and_ask(s, piece, thread);
    attend_all(s, look_of(passes_[size_t(s.pass)], piece), thread);
}

// Many rows look some at a time, so that what they see stays in the cache for all of them.
void stack_node::attend_many(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t n_looks = n_lanes_ * hp_.n_head_kv, first = piece / n_looks * rows_at_once;
    look l = look_of(p, piece % n_looks);
    l = {l.row + first, std::min(rows_at_once, p.n - first), l.head_kv, thread * rows_at_once * group_};
    ask(s, l, thread);
    attend_all(s, l, thread);
}

void stack_node::attend_all(const step & s, const look & l, int thread) {
    const int64_t seen = place(passes_[size_t(s.pass)], l.row + l.n_rows - 1).seen;
    for (int64_t at = 0; at < seen; at += attend_block) {
        see(s, l, 1, at);
    }
    gather(s, l, 1, 0, hp_.head_dim, thread);
}

// Some blocks of positions for all heads of a lane, whose keys lie together.
void stack_node::see_blocks(const step & s, int32_t piece) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t n_pieces = s.n_pieces / n_lanes_, first = piece % n_pieces * seen_at_once_;
    for (int64_t b = first; b < std::min(first + seen_at_once_, n_seen_blocks()); b++) {
        see(s, look_of(p, piece / n_pieces * hp_.n_head_kv), hp_.n_head_kv, b * attend_block);
    }
}

// Some channels of a head, or where values lie by position, some heads.
void stack_node::gather_some(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t n_pieces = s.n_pieces / n_lanes_, at = piece % n_pieces, lane = piece / n_pieces * hp_.n_head_kv;
    if (attend_.by_channel) {
        const int64_t n = hp_.head_dim / n_cuts_;
        gather(s, look_of(p, lane + at / n_cuts_), 1, at % n_cuts_ * n, n, thread);
    } else {
        gather(s, look_of(p, lane + at * gathered_heads_), std::min(gathered_heads_, hp_.n_head_kv - at * gathered_heads_), 0, hp_.head_dim, thread);
    }
}

void stack_node::keep(const step & s, int32_t piece, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t lane = piece / hp_.n_head_kv, h = piece % hp_.n_head_kv, hd = hp_.head_dim, width = hp_.kv_width();
    const float * angles = turns(s, thread);
    const ggml_tensor * keys = keys_[size_t(s.layer)], * values = values_[size_t(s.layer)];
    const row_place first = place(p, lane * p.n);  // the others follow
    char * to = cell(keys, first.lane, h * hd, first.at);
    for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++, to += keys->nb[1]) {
        float * k = k_.data() + row * width + h * hd;
        rms_norm_row(k, floats(blocks_.layers[size_t(s.layer)].attn.k_norm), hp_.rms_eps, k, hd);
        turn(k, angles + row * hd, hd / 2);
        store(keys->type, k, hd, to);
    }
    if (!attend_.by_channel) {
        to = cell(values, first.lane, h * hd, first.at);
        for (int64_t row = lane * p.n; row < (lane + 1) * p.n; row++, to += values->nb[1]) {
            store(values->type, v_.data() + row * width + h * hd, hd, to);
        }
        return;
    }
    to = cell(values, first.lane, first.at, h * hd);
    for (int64_t e = 0; e < hd; e++, to += values->nb[1]) {
        const float * v = v_.data() + lane * p.n * width + h * hd + e;
        for (int64_t i = 0; i < p.n; i++, v += width) {
            store(values->type, v, 1, to + size_t(i) * values->nb[0]);
        }
    }
}

// Queries in the form that keys want.
void stack_node::ask(const step & s, const look & l, int thread) {
    const int64_t hd = hp_.head_dim;
    const float * angles = turns(s, thread), scale = 1.0f / std::sqrt(float(hd));
    float * query = memory_[size_t(thread)].query.data();
    for (int64_t i = 0; i < l.n_rows * group_; i++) {
        const int64_t row = l.row + i / group_;
        const float * q = q_.data() + (row * hp_.n_head + l.head_kv * group_ + i % group_) * hd;
        rms_norm_row(q, floats(blocks_.layers[size_t(s.layer)].attn.q_norm), hp_.rms_eps, query, hd);
        turn(query, angles + row * hd, hd / 2);
        for (int64_t e = 0; e < hd; e++) {
            query[e] *= scale;
        }
        attend_.ready(attend_.type, query, hd, asked(l.first + i));
    }
}

// The scores of a block of positions for some heads, from that of l on, a few positions of all heads at a time.
void stack_node::see(const step & s, const look & l, int64_t n_heads, int64_t at) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t hd = hp_.head_dim, n_x = l.n_rows * group_;
    const ggml_tensor * keys = keys_[size_t(s.layer)];
    const row_place last = place(p, l.row + l.n_rows - 1);
    const int64_t end = std::min(at + attend_block, last.seen);
    for (int64_t k = at; k < end; k += positions_at_once) {
        for (int64_t h = 0; h < n_heads; h++) {
            attend_.look(attend_.type, cell(keys, last.lane, (l.head_kv + h) * hd, k), keys->nb[1], std::min(positions_at_once, end - k), hd,
                         asked(l.first + h * n_x), asked_bytes_, n_x, scores(l.first + h * n_x) + k, scores_stride_);
        }
    }
    for (int64_t i = 0; i < n_heads * n_x; i++) {
        const int64_t n = std::min(attend_block, place(p, l.row + i % n_x / group_).seen - at);
        if (n > 0) {
            float * row = scores(l.first + i), * marks = row + n_live_ + at / attend_block;
            weigh_block(row + at, n, marks, marks + n_seen_blocks());
        }
    }
}

// What some channels of some heads, from that of l on, have for each row.
void stack_node::gather(const step & s, const look & l, int64_t n_heads, int64_t channel, int64_t n_channels, int thread) {
    const pass & p = passes_[size_t(s.pass)];
    const int64_t n_x = l.n_rows * group_;
    const ggml_tensor * values = values_[size_t(s.layer)];
    const row_place last = place(p, l.row + l.n_rows - 1);
    const int64_t padded = (last.seen + value_group - 1) / value_group * value_group;
    float * weights = memory_[size_t(thread)].weights.data(), * gathered = memory_[size_t(thread)].gathered.data();
    for (int64_t i = 0; i < n_heads * n_x; i++) {
        const float * row = scores(l.first + i), * marks = row + n_live_;
        weigh_row(row, place(p, l.row + i % n_x / group_).seen, marks, marks + n_seen_blocks(), weights + i * n_live_, padded);
    }
    const int64_t at_once = attend_.by_channel ? last.seen : value_group;
    for (int64_t at = 0; at < last.seen; at += at_once) {
        for (int64_t h = 0; h < n_heads; h++) {
            const int64_t from = (l.head_kv + h) * hp_.head_dim + channel;
            const char * v = attend_.by_channel ? cell(values, last.lane, 0, from) : cell(values, last.lane, from, at);
            attend_.mix(v, values->nb[1], std::min(at_once, last.seen - at), n_channels, weights + h * n_x * n_live_ + at, n_live_, n_x,
                        gathered + h * n_x * n_channels, n_channels, at > 0);
        }
    }
    for (int64_t i = 0; i < n_heads * n_x; i++) {
        const int64_t head = (l.row + i % n_x / group_) * hp_.n_head + (l.head_kv + i / n_x) * group_ + i % group_;
        std::copy_n(gathered + i * n_channels, n_channels, y_.data() + head * hp_.head_dim + channel);
    }
}

} // namespace omni
