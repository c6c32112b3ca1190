// A talker and a code predictor that pass each other their rows on the device.
#include "verbs/lm.h"

#include "core/error.h"
#include "core/joined.h"

namespace omni {

void lm_join(session & talker, const component & t, session & predictor, const component & p) {
    const omni_info heard = t.info(), filled = p.info();
    if (t.n_first_codes() || !p.n_first_codes() || heard.n_groups != filled.n_groups) {
        fail(OMNI_ERROR_ARGUMENT, "these two cannot be joined, expected a talker and the code predictor that fills its frames");
    }
    const session::use one(talker, /*repairing =*/true), other(predictor, /*repairing =*/true);
    if (talker.joined() && talker.joined() == predictor.joined()) {
        return;
    }
    if (talker.device() != predictor.device()) {
        fail(OMNI_ERROR_ARGUMENT, "the talker is on device '%s' and the code predictor on '%s', expected the same opened device",
             talker.device()->name().c_str(), predictor.device()->name().c_str());
    }
    if (heard.n_hidden != filled.n_embd || heard.n_embd != filled.n_embd) {
        fail(OMNI_ERROR_ARGUMENT, "the talker's rows are %d and %d wide and the code predictor's %d, expected the same", heard.n_embd,
             heard.n_hidden, filled.n_embd);
    }
    if (predictor.n_lanes() < talker.n_lanes()) {
        fail(OMNI_ERROR_ARGUMENT, "the code predictor has %lld lanes, expected at least the talker's %lld",
             (long long) predictor.n_lanes(), (long long) talker.n_lanes());
    }
    const auto rows = std::make_shared<const joined_rows>(talker.device(), talker.n_lanes(), heard.n_hidden, filled.n_embd);
    talker.join(rows);
    predictor.join(rows);
}

const joined_rows & joined_of(const session & s) {
    if (!s.joined()) {
        fail(OMNI_ERROR_ARGUMENT, "this session passes no rows to another, expected omni_lm_join before");
    }
    return *s.joined();
}

void lm_row(session & s, const component & c, int32_t lane, float * out, const float * in) {
    const joined_rows & joined = joined_of(s);
    if (lane < 0 || lane >= joined.n_lanes) {
        fail(OMNI_ERROR_ARGUMENT, "lane %d, expected 0 to %lld", lane, (long long) joined.n_lanes - 1);
    }
    ggml_tensor * rows = c.n_first_codes() ? joined.sum : joined.hidden;  // [.., 2 * n_lanes]
    std::lock_guard<std::mutex> lock(s.device()->compute);
    if (out) {
        ggml_backend_tensor_get(rows, out, size_t(lane) * rows->nb[1], rows->nb[1]);
    }
    if (in) {
        ggml_backend_tensor_set(rows, in, size_t(lane) * rows->nb[1], rows->nb[1]);
    }
}

} // namespace omni
