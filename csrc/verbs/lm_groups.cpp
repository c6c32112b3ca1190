// A whole frame of a code predictor, as one run of a graph.
#include "verbs/lm.h"

#include "blocks/draw.h"
#include "blocks/joined_nodes.h"
#include "blocks/kv_cache.h"
#include "core/error.h"

#include <algorithm>

namespace omni {

// Where each lane's rows lie that are passed on, of a talker's lanes; nowhere where nothing is.
static std::vector<int32_t> places_of(const session & s, int32_t n_lanes, const int32_t * lanes, bool needed) {
    std::vector<int32_t> places;
    if (!s.joined() && !needed && !lanes) {
        return places;
    }
    const joined_rows & joined = joined_of(s);
    for (int32_t i = 0; i < n_lanes; i++) {
        const int32_t lane = lanes ? lanes[i] : i;
        if (lane < 0 || lane >= joined.n_lanes || (!places.empty() && lane <= places.back())) {
            fail(OMNI_ERROR_ARGUMENT, "lane %d of the talker, expected ascending ones of 0 to %lld", lane, (long long) joined.n_lanes - 1);
        }
        places.push_back(joined.place(lane));
    }
    return places;
}

void lm_groups(session & s, const component & c, int32_t n_lanes, const int32_t * lanes, const float * hidden, const int32_t * code0,
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
    key.joined  = hidden == nullptr;
    const std::vector<int32_t> places = places_of(s, n_lanes, lanes, !hidden || !row_sum);
    const double params[n_draw_params] = {draw.temperature, draw.top_p, double(draw.top_k)};
    const std::vector<double> none(draw.uniforms ? 0 : size_t(n_lanes) * (n_groups - 1), 0.0);
    const double * uniforms = draw.uniforms ? draw.uniforms : none.data();
    std::vector<feed> in = {
        {joined_places, places.data(), places.size() * sizeof(int32_t)},
        {"hidden", hidden, size_t(n_lanes) * size_t(info.n_embd) * sizeof(float)},
        {"code0", code0, size_t(n_lanes) * sizeof(int32_t)},
        {"uniforms", uniforms, size_t(n_lanes) * (n_groups - 1) * sizeof(double)},
        {"draw", params, sizeof(params)},
    };
    std::unique_ptr<const device_draw_feeds> device;
    if (device_draw::wanted(s.on_cpu(), s.wants(device_draw::tap))) {
        device = std::make_unique<const device_draw_feeds>(draw, uniforms, int64_t(n_lanes) * int64_t(n_groups - 1), info.n_vocab);
        device->append(in);
    }
    std::vector<kv_feed> kv;
    kv.reserve(n_groups);
    for (size_t k = 0; k + 1 < n_groups; k++) {
        const int64_t at = k == 0 ? 0 : int64_t(k) + 1;
        kv.emplace_back(s, 0, std::vector<int64_t>(size_t(n_lanes), at), k == 0 ? 2 : 1, key.n_kv, c.kv_width(), int64_t(k));
        kv.back().append(in);
    }
    std::vector<std::string> names(n_groups);
    std::vector<int32_t> drawn(n_groups * size_t(n_lanes), -1);  // [n_groups, n_lanes]
    std::vector<fetch> out;
    if (row_sum) {
        out.push_back({"row_sum", row_sum, size_t(n_lanes) * size_t(info.n_embd) * sizeof(float)});
    }
    for (size_t k = 1; k < n_groups; k++) {
        names[k] = "code." + std::to_string(k);
        out.push_back({names[k].c_str(), &drawn[k * size_t(n_lanes)], size_t(n_lanes) * sizeof(int32_t), true});
    }
    out.push_back({"codes", &drawn[size_t(n_lanes)], (n_groups - 1) * size_t(n_lanes) * sizeof(int32_t), true});  // or all at once
    for (int32_t l = 0; l < n_lanes; l++) {
        s.rewind(l, 0);  // the frame's keys and values overwrite the lane's
    }
    s.run(key, in, out);
    if (std::any_of(drawn.begin() + n_lanes, drawn.end(), [](int32_t id) { return id < 0; })) {
        fail(OMNI_ERROR_INTERNAL, "a frame's graph left a code out, expected %d of each lane", info.n_groups - 1);
    }
    for (size_t l = 0; l < size_t(n_lanes); l++) {
        codes[l * n_groups] = code0[l];
        for (size_t k = 1; k < n_groups; k++) {
            codes[l * n_groups + k] = drawn[k * size_t(n_lanes) + l];
        }
    }
}

} // namespace omni
