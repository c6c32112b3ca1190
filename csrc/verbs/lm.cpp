#include "verbs/lm.h"

#include "blocks/joined_nodes.h"
#include "blocks/kv_cache.h"
#include "core/error.h"

#include <algorithm>
#include <cmath>

namespace omni {

static const int32_t max_batch_rows = 512;              // of a prefill in one graph; longer ones go in pieces,
static const int64_t max_scores = int64_t(1) << 26;     // and in smaller ones where the attention's scores would need more

namespace {

// What one graph is given: n rows for each lane of [lane0, lane0 + n_past.size()), n_past -1 where a lane sits out.
struct batch {
    int32_t lane0, n, head, n_heads, joined;
    std::vector<int64_t> n_past;
    const float * embeds;                // [n_lanes, n, n_embd]
    const float * positions;             // [n_lanes, n, n_axes] or nullptr
    std::vector<const float *> added;    // one per layer, each [n_lanes, n, n_embd]
    float *logits, *hidden, *accepted, *each;  // as omni_lm_output, of all these lanes; each may be nullptr
};

} // namespace

static void run(session & s, const component & c, const batch & b) {
    const omni_info info = c.info();
    const size_t n_lanes = b.n_past.size();
    const size_t row_bytes = n_lanes * size_t(b.n) * size_t(info.n_embd) * sizeof(float);
    const int64_t n_live = *std::max_element(b.n_past.begin(), b.n_past.end()) + b.n;
    graph_key key;
    key.verb    = verb_decode;
    key.n       = b.n;
    key.lane0   = b.lane0;
    key.n_lanes = int32_t(n_lanes);
    key.n_kv    = int32_t(kv_round_up(n_live));
    key.which   = b.head;
    key.logits  = b.logits != nullptr;
    key.added   = !b.added.empty();
    key.accept  = b.accepted != nullptr;
    key.each    = b.each ? b.n_heads : 0;
    key.joined  = b.joined;
    kv_feed kv(s, b.lane0, b.n_past, b.n, key.n_kv, c.kv_width());
    if (c.axes()) {
        kv.turn(*c.axes(), b.positions);
    }
    std::vector<feed> in = {{"embeds", b.embeds, row_bytes}};
    kv.append(in);
    std::vector<int32_t> places;
    for (size_t l = 0; l < n_lanes && s.joined(); l++) {
        places.push_back(s.joined()->place(b.lane0 + int64_t(l), b.n_past[l] < 0));
    }
    in.push_back({joined_places, places.data(), places.size() * sizeof(int32_t)});
    std::vector<std::string> names;
    for (size_t i = 0; i < b.added.size(); i++) {
        names.push_back("added." + std::to_string(i));
    }
    for (size_t i = 0; i < b.added.size(); i++) {
        in.push_back({names[i].c_str(), b.added[i], row_bytes});
    }
    std::vector<fetch> out;
    if (b.hidden) {
        out.push_back({"hidden", b.hidden, n_lanes * size_t(info.n_hidden) * sizeof(float)});
    }
    if (b.logits) {
        out.push_back({"logits", b.logits, n_lanes * size_t(info.n_vocab) * sizeof(float)});
    }
    if (b.accepted) {
        out.push_back({"accept", b.accepted, row_bytes});
    }
    if (b.each) {
        out.push_back({"each", b.each, n_lanes * size_t(b.n) * size_t(b.n_heads) * size_t(info.n_vocab) * sizeof(float)});
    }
    s.run(key, in, out);
    for (size_t l = 0; l < n_lanes; l++) {
        if (b.n_past[l] >= 0) {
            s.advance(b.lane0 + int64_t(l), b.n);
        }
    }
}

static float * moved(float * p, size_t n) { return p ? p + n : nullptr; }
static const float * moved(const float * p, size_t n) { return p ? p + n : nullptr; }

// Rows of the next piece: fewer the longer the past is, in steps that depend on nothing else.
static int32_t piece_rows(int64_t n_past, int64_t n_head) {
    int32_t n = max_batch_rows;
    while (n > 64 && kv_round_up(n_past + n) * n * n_head > max_scores) {
        n /= 2;
    }
    return n;
}

// Many rows of one lane, in pieces: only the last piece needs the head.
static void prefill(session & s, const component & c, const omni_lm_input & in, int32_t lane_index, const omni_lm_output & out) {
    const omni_info info = c.info();
    const size_t l = size_t(lane_index), n_all = size_t(in.n), n_embd = size_t(info.n_embd), n_axes = size_t(info.n_axes);
    int32_t at = 0;
    while (at < in.n) {
        const size_t row = l * n_all + size_t(at);
        batch b{};
        b.lane0     = in.lanes[l];
        b.n         = std::min(piece_rows(s.n_past(in.lanes[l]), c.n_head()), in.n - at);
        b.head      = in.head;
        b.n_heads   = in.n_heads;
        b.n_past    = {s.n_past(in.lanes[l])};
        b.embeds    = in.embeds + row * n_embd;
        b.positions = moved(in.positions, row * n_axes);
        for (size_t i = 0; in.deepstack && i < size_t(info.n_deepstack); i++) {
            b.added.push_back(in.deepstack + ((l * size_t(info.n_deepstack) + i) * n_all + size_t(at)) * n_embd);
        }
        b.logits   = at + b.n == in.n ? moved(out.logits, l * size_t(info.n_vocab)) : nullptr;
        b.hidden   = at + b.n == in.n ? moved(out.hidden, l * size_t(info.n_hidden)) : nullptr;
        b.accepted = moved(out.accepted, row * n_embd);
        b.each     = moved(out.each, row * size_t(in.n_heads) * size_t(info.n_vocab));
        run(s, c, b);
        at += b.n;
    }
}

// Rows of the lanes that take part, and those of the range they span: rows `width` wide, zero where a lane sits out.
struct spread {
    std::vector<size_t> place;  // of each lane in the range
    size_t n_range;

    std::vector<float> out(const float * rows, size_t width, size_t stride) const {
        std::vector<float> all(n_range * width, 0.0f);
        for (size_t i = 0; i < place.size(); i++) {
            std::copy_n(rows + i * stride, width, all.data() + place[i] * width);
        }
        return all;
    }
    void back(const std::vector<float> & all, size_t width, float * rows) const {
        for (size_t i = 0; i < place.size() && rows; i++) {
            std::copy_n(all.data() + place[i] * width, width, rows + i * width);
        }
    }
};

// One row for each of several lanes: one graph over the range they span.
static void step(session & s, const component & c, const omni_lm_input & in, const omni_lm_output & out) {
    const omni_info info = c.info();
    const size_t n_embd = size_t(info.n_embd), n_axes = size_t(info.n_axes), n_deepstack = size_t(info.n_deepstack);
    const size_t n_hidden = size_t(info.n_hidden), n_vocab = size_t(info.n_vocab), n_each = n_vocab * size_t(in.n_heads);
    batch b{};
    b.lane0 = in.lanes[0];
    b.n     = 1;
    b.head  = in.head;
    b.n_heads = in.n_heads;
    b.joined  = in.joined;
    spread lanes{{}, size_t(in.lanes[in.n_lanes - 1] - b.lane0 + 1)};
    b.n_past.assign(lanes.n_range, -1);
    for (int32_t i = 0; i < in.n_lanes; i++) {
        lanes.place.push_back(size_t(in.lanes[i] - b.lane0));
        b.n_past[lanes.place.back()] = s.n_past(in.lanes[i]);
    }
    const std::vector<float> embeds = lanes.out(in.embeds, n_embd, n_embd);
    b.embeds = embeds.data();
    std::vector<float> positions;
    if (in.positions) {
        positions = lanes.out(in.positions, n_axes, n_axes);
        b.positions = positions.data();
    }
    std::vector<std::vector<float>> added;
    for (size_t i = 0; in.deepstack && i < n_deepstack; i++) {
        added.push_back(lanes.out(in.deepstack + i * n_embd, n_embd, n_deepstack * n_embd));
    }
    for (const std::vector<float> & rows : added) {
        b.added.push_back(rows.data());
    }
    std::vector<float> hidden(out.hidden ? lanes.n_range * n_hidden : 0), logits(out.logits ? lanes.n_range * n_vocab : 0),
        accepted(out.accepted ? lanes.n_range * n_embd : 0), each(out.each ? lanes.n_range * n_each : 0);
    b.hidden   = out.hidden ? hidden.data() : nullptr;
    b.logits   = out.logits ? logits.data() : nullptr;
    b.accepted = out.accepted ? accepted.data() : nullptr;
    b.each     = out.each ? each.data() : nullptr;
    run(s, c, b);
    lanes.back(hidden, n_hidden, out.hidden);
    lanes.back(logits, n_vocab, out.logits);
    lanes.back(accepted, n_embd, out.accepted);
    lanes.back(each, n_each, out.each);
}

static void check_extras(const session & s, const component & c, const omni_lm_input & in, const omni_lm_output & out) {
    const omni_info info = c.info();
    if (in.positions && info.n_axes < 2) {
        fail(OMNI_ERROR_ARGUMENT, "positions were given to a component that counts them itself; expected none");
    }
    const size_t n_positions = in.positions ? size_t(in.n_lanes) * size_t(in.n) * size_t(info.n_axes) : 0;
    for (size_t i = 0; i < n_positions; i++) {
        if (!std::isfinite(in.positions[i])) {
            fail(OMNI_ERROR_ARGUMENT, "position %zu is %g, expected a finite number", i, double(in.positions[i]));
        }
    }
    if (in.deepstack && !info.n_deepstack) {
        fail(OMNI_ERROR_ARGUMENT, "deepstack rows were given to a component that adds none; expected none");
    }
    if (out.accepted && !info.accept_layer) {
        fail(OMNI_ERROR_ARGUMENT, "accepted rows were asked of a component that has no accepted layer");
    }
    if (out.each && !c.n_first_codes()) {
        fail(OMNI_ERROR_ARGUMENT, "logits of every row were asked of a component that fills no frames; expected a code predictor");
    }
    if (in.joined) {
        joined_of(s);
        if (in.n != 1 || c.n_first_codes()) {
            fail(OMNI_ERROR_ARGUMENT, "the sums of frames are added to %d rows a lane, expected one row of a talker", in.n);
        }
    }
    if (out.each && (in.n_heads < 1 || in.n_heads > info.n_heads_out - in.head)) {
        fail(OMNI_ERROR_ARGUMENT, "%d heads from head %d on, expected 1 to %d", in.n_heads, in.head, info.n_heads_out - in.head);
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
    check_extras(s, c, in, out);
    if (in.n == 1) {
        return step(s, c, in, out);
    }
    for (int32_t i = 0; i < in.n_lanes; i++) {
        prefill(s, c, in, i, out);
    }
}

} // namespace omni
