#include "verbs/lm.h"

#include "blocks/draw.h"
#include "blocks/kv_cache.h"
#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace omni {

static const int32_t max_batch_rows = 512;  // of a prefill in one graph; longer ones go in pieces

static void check_ids(const char * what, const int32_t * ids, int64_t n, int64_t n_ids) {
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= n_ids) {
            fail(OMNI_ERROR_ARGUMENT, "%s %lld is %d, expected 0 to %lld", what, (long long) i, ids[i], (long long) n_ids - 1);
        }
    }
}

void lm_embed(session & s, const component & c, int32_t table, const int32_t * ids, int32_t n, float * out) {
    const omni_info info = c.info();
    if (table < 0 || table >= info.n_tables) {
        fail(OMNI_ERROR_ARGUMENT, "embedding table %d, expected 0 to %d", table, info.n_tables - 1);
    }
    check_ids("id", ids, n, c.table_size(table));
    for (int32_t at = 0; at < n; at += max_batch_rows) {
        graph_key key;
        key.verb  = verb_embed;
        key.n     = std::min(max_batch_rows, n - at);
        key.which = table;
        const size_t n_out = size_t(key.n) * size_t(info.n_embd);
        s.run(key, {{"ids", ids + at, size_t(key.n) * sizeof(int32_t)}},
              {{"rows", out + size_t(at) * size_t(info.n_embd), n_out * sizeof(float)}});
    }
}

// One graph: n rows for each lane of [lane0, lane0 + n_past.size()), n_past -1 where a lane sits out.
static void decode_range(session & s, const component & c, int32_t lane0, const std::vector<int64_t> & n_past, int32_t n,
                         const float * embeds, int32_t head, float * logits, float * hidden) {
    const omni_info info = c.info();
    const int64_t n_live = *std::max_element(n_past.begin(), n_past.end()) + n;
    graph_key key;
    key.verb    = verb_decode;
    key.n       = n;
    key.lane0   = lane0;
    key.n_lanes = int32_t(n_past.size());
    key.n_kv    = int32_t(kv_round_up(n_live));
    key.which   = head;
    key.logits  = logits != nullptr;
    const kv_feed kv(s, lane0, n_past, n, key.n_kv, c.kv_width());
    std::vector<feed> in = {{"embeds", embeds, n_past.size() * size_t(n) * size_t(info.n_embd) * sizeof(float)}};
    kv.append(in);
    std::vector<fetch> out = {{"hidden", hidden, n_past.size() * size_t(info.n_hidden) * sizeof(float)}};
    if (logits) {
        out.push_back({"logits", logits, n_past.size() * size_t(info.n_vocab) * sizeof(float)});
    }
    s.run(key, in, out);
    for (size_t l = 0; l < n_past.size(); l++) {
        if (n_past[l] >= 0) {
            s.advance(lane0 + int64_t(l), n);
        }
    }
}

static void copy_row(float * to, const std::vector<float> & from, size_t row, size_t width, size_t to_row) {
    if (to) {
        std::copy_n(from.data() + row * width, width, to + to_row * width);
    }
}

// Many rows of one lane, in pieces: only the last piece needs the head.
static void prefill(session & s, const component & c, const omni_lm_input & in, int32_t lane_index, const omni_lm_output & out) {
    const omni_info info = c.info();
    const size_t l = size_t(lane_index);
    const float * embeds = in.embeds + l * size_t(in.n) * size_t(info.n_embd);
    std::vector<float> hidden(static_cast<size_t>(info.n_hidden));
    float * to_logits = out.logits ? out.logits + l * size_t(info.n_vocab) : nullptr;
    for (int32_t at = 0; at < in.n; at += max_batch_rows) {
        const int32_t n = std::min(max_batch_rows, in.n - at);
        decode_range(s, c, in.lanes[l], {s.n_past(in.lanes[l])}, n, embeds + size_t(at) * size_t(info.n_embd), in.head,
                     at + n == in.n ? to_logits : nullptr, hidden.data());
    }
    copy_row(out.hidden, hidden, 0, hidden.size(), l);
}

// One row for each of several lanes: one graph over the range they span.
static void step(session & s, const component & c, const omni_lm_input & in, const omni_lm_output & out) {
    const omni_info info = c.info();
    const int32_t lane0 = in.lanes[0];
    const size_t n_range = size_t(in.lanes[in.n_lanes - 1] - lane0 + 1);
    const size_t n_embd = size_t(info.n_embd);
    std::vector<int64_t> n_past(n_range, -1);
    std::vector<float> embeds(n_range * n_embd, 0.0f);
    for (int32_t i = 0; i < in.n_lanes; i++) {
        const size_t l = size_t(in.lanes[i] - lane0);
        n_past[l] = s.n_past(in.lanes[i]);
        std::copy_n(in.embeds + size_t(i) * n_embd, n_embd, embeds.data() + l * n_embd);
    }
    std::vector<float> hidden(n_range * size_t(info.n_hidden)), logits(out.logits ? n_range * size_t(info.n_vocab) : 0);
    decode_range(s, c, lane0, n_past, 1, embeds.data(), in.head, out.logits ? logits.data() : nullptr, hidden.data());
    for (int32_t i = 0; i < in.n_lanes; i++) {
        const size_t l = size_t(in.lanes[i] - lane0);
        copy_row(out.hidden, hidden, l, size_t(info.n_hidden), size_t(i));
        copy_row(out.logits, logits, l, size_t(info.n_vocab), size_t(i));
    }
}

void lm_decode(session & s, const component & c, const omni_lm_input & in, const omni_lm_output & out) {
    const omni_info info = c.info();
    if (in.n < 1 || in.n_lanes < 1 || in.n_lanes > s.n_lanes()) {
        fail(OMNI_ERROR_ARGUMENT, "%d rows for each of %d lanes, expected at least 1 row and 1 to %lld lanes", in.n,
             in.n_lanes, (long long) s.n_lanes());
    }
    if (in.head < 0 || in.head >= info.n_heads_out) {
        fail(OMNI_ERROR_ARGUMENT, "output head %d, expected 0 to %d", in.head, info.n_heads_out - 1);
    }
    for (int32_t i = 0; i < in.n_lanes; i++) {
        s.check_lane(in.lanes[i]);
        if (i > 0 && in.lanes[i] <= in.lanes[i - 1]) {
            fail(OMNI_ERROR_ARGUMENT, "lane %d after lane %d, expected ascending lanes", in.lanes[i], in.lanes[i - 1]);
        }
        if (s.n_past(in.lanes[i]) + in.n > s.n_ctx()) {
            fail(OMNI_ERROR_CONTEXT, "the context is full: lane %d holds %lld positions and %d more were asked for, of %lld",
                 in.lanes[i], (long long) s.n_past(in.lanes[i]), in.n, (long long) s.n_ctx());
        }
    }
    if (in.n == 1) {
        return step(s, c, in, out);
    }
    for (int32_t i = 0; i < in.n_lanes; i++) {
        prefill(s, c, in, i, out);
    }
}

void lm_groups(session & s, const component & c, int32_t n_lanes, const float * hidden, const int32_t * code0,
               const omni_draw & draw, int32_t * codes, float * row_sum) {
    const omni_info info = c.info();
    const size_t n_groups = size_t(info.n_groups);
    if (!c.n_first_codes()) {
        fail(OMNI_ERROR_ARGUMENT, "this component fills no frames; expected a code predictor");
    }
    if (n_lanes < 1 || n_lanes > s.n_lanes()) {
        fail(OMNI_ERROR_ARGUMENT, "%d lanes, expected 1 to %lld", n_lanes, (long long) s.n_lanes());
    }
    if (s.n_ctx() < info.n_groups) {
        fail(OMNI_ERROR_CONTEXT, "the session holds %lld positions, a frame needs %d", (long long) s.n_ctx(), info.n_groups);
    }
    if (!(draw.temperature >= 0.0) || !(draw.top_p > 0.0 && draw.top_p <= 1.0) || draw.top_k < 0) {
        fail(OMNI_ERROR_ARGUMENT, "temperature %g, top_p %g, top_k %d; expected at least 0, in (0, 1] and at least 0",
             draw.temperature, draw.top_p, draw.top_k);
    }
    if (draw.temperature > 0.0 && !draw.uniforms) {
        fail(OMNI_ERROR_ARGUMENT, "uniform numbers are missing; only greedy draws (temperature 0) need none");
    }
    check_ids("code of group 0 in lane", code0, n_lanes, c.n_first_codes());

    graph_key key;
    key.verb    = verb_groups;
    key.n       = 2;
    key.n_lanes = n_lanes;
    key.n_kv    = int32_t(kv_round_up(info.n_groups));
    const double params[n_draw_params] = {draw.temperature, draw.top_p, double(draw.top_k)};
    const std::vector<double> none(draw.uniforms ? 0 : size_t(n_lanes) * (n_groups - 1), 0.0);
    std::vector<feed> in = {
        {"hidden", hidden, size_t(n_lanes) * size_t(info.n_embd) * sizeof(float)},
        {"code0", code0, size_t(n_lanes) * sizeof(int32_t)},
        {"uniforms", draw.uniforms ? draw.uniforms : none.data(), size_t(n_lanes) * (n_groups - 1) * sizeof(double)},
        {"draw", params, sizeof(params)},
    };
    std::vector<kv_feed> kv;
    kv.reserve(n_groups);
    for (size_t k = 0; k + 1 < n_groups; k++) {
        const int64_t at = k == 0 ? 0 : int64_t(k) + 1;
        kv.emplace_back(s, 0, std::vector<int64_t>(size_t(n_lanes), at), k == 0 ? 2 : 1, key.n_kv, c.kv_width(), int64_t(k));
        kv.back().append(in);
    }
    std::vector<std::string> names(n_groups);
    std::vector<int32_t> drawn(n_groups * size_t(n_lanes));  // [n_groups, n_lanes]
    std::vector<fetch> out = {{"row_sum", row_sum, size_t(n_lanes) * size_t(info.n_embd) * sizeof(float)}};
    for (size_t k = 1; k < n_groups; k++) {
        names[k] = "code." + std::to_string(k);
        out.push_back({names[k].c_str(), &drawn[k * size_t(n_lanes)], size_t(n_lanes) * sizeof(int32_t)});
    }
    for (int32_t l = 0; l < n_lanes; l++) {
        s.rewind(l, 0);  // the frame's keys and values overwrite the lane's
    }
    s.run(key, in, out);
    for (size_t l = 0; l < size_t(n_lanes); l++) {
        codes[l * n_groups] = code0[l];
        for (size_t k = 1; k < n_groups; k++) {
            codes[l * n_groups + k] = drawn[k * size_t(n_lanes) + l];
        }
    }
}

} // namespace omni
