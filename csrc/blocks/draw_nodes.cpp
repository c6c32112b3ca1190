// Drawing an id on a device.
#include "blocks/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace omni {

device_draw_feeds::device_draw_feeds(const omni_draw & how, const double * uniforms, int64_t n_uniforms, int64_t n_vocab)
    : uniforms_(size_t(n_uniforms), 0.0f), cold_{1.0f}, top_p_{2.0f},  // 2: sums that pass 1 by rounding are not cut
      ranks_(size_t(n_vocab), 0.0f) {
    const bool greedy = how.temperature == 0.0;
    if (!greedy) {
        const float most = 1.0f - 1.0f / 8388608.0f;  // what rounds to 1 would lie behind the last id
        std::transform(uniforms, uniforms + n_uniforms, uniforms_.begin(), [&](double u) { return std::min(float(u), most); });
        cold_[0]  = float(1.0 / how.temperature);
        top_p_[0] = how.top_p < 1.0 ? float(how.top_p) : 2.0f;
    }
    const int64_t n_ranks = greedy ? 1 : how.top_k;
    if (n_ranks > 0 && n_ranks < n_vocab) {
        std::fill(ranks_.begin() + n_ranks, ranks_.end(), -INFINITY);
    }
}

void device_draw_feeds::append(std::vector<feed> & in) const {
    const auto add = [&](const char * name, const std::vector<float> & v) { in.push_back({name, v.data(), v.size() * sizeof(float)}); };
    add("uniforms.f32", uniforms_);
    add("cold", cold_);
    add("top_p", top_p_);
    add("ranks", ranks_);
}

device_draw::device_draw(graph & g, int64_t n_vocab, int64_t n_draws) : g_(g) {
    uniforms_ = g.input("uniforms.f32", GGML_TYPE_F32, n_draws, g.key.n_lanes);
    cold_     = g.input("cold", GGML_TYPE_F32, 1);
    top_p_    = g.input("top_p", GGML_TYPE_F32, 1);
    ranks_    = g.input("ranks", GGML_TYPE_F32, n_vocab);  // added to the score of each rank
    std::vector<float> numbers(static_cast<size_t>(n_vocab));
    std::iota(numbers.begin(), numbers.end(), 1.0f);
    up_ = g.constant("draw.up", numbers);
    std::reverse(numbers.begin(), numbers.end());
    down_ = g.constant("draw.down", numbers);
}

// The largest of distinct numbers tells a place: the last that is kept counts up, the first that is reached counts down.
// What is no number is never kept nor reached, since it is not above zero; so an id is always one of the vocabulary.
ggml_tensor * device_draw::draw(ggml_tensor * logits, int64_t index) const {
    ggml_context * c = g_.ctx;
    const int64_t n = logits->ne[0], n_lanes = logits->ne[1];
    const auto above = [&](ggml_tensor * a, ggml_tensor * b) { return ggml_step(c, ggml_sub(c, a, b)); };  // a > b

    ggml_tensor * scores = ggml_clamp(c, ggml_mul(c, logits, cold_), -1e30f, 1e30f);              // [n, n_lanes]
    ggml_tensor * order  = ggml_argsort(c, scores, GGML_SORT_ORDER_DESC);
    ggml_tensor * sorted = ggml_get_rows(c, ggml_reshape_3d(c, scores, 1, n, n_lanes), order);    // [1, n, n_lanes]
    ggml_tensor * p      = ggml_soft_max(c, ggml_add(c, ggml_reshape_2d(c, sorted, n, n_lanes), ranks_));
    ggml_tensor * before = ggml_sub(c, ggml_cumsum(c, p), p);  // of what is more likely
    ggml_tensor * kept   = ggml_mul(c, ggml_step(c, ggml_add(c, ggml_neg(c, before), top_p_)), ggml_step(c, p));
    ggml_tensor * last   = ggml_argmax(c, ggml_mul(c, kept, up_));                                // I32 [n_lanes]
    ggml_tensor * least  = ggml_get_rows(c, sorted, ggml_reshape_2d(c, last, 1, n_lanes));        // [1, 1, n_lanes]
    least = ggml_reshape_2d(c, least, 1, n_lanes);

    // again in the order of ids, as on the CPU
    ggml_tensor * lower   = ggml_step(c, ggml_neg(c, ggml_sub(c, scores, least)));
    ggml_tensor * all     = ggml_soft_max(c, scores);
    ggml_tensor * weights = g_.tap(tap, ggml_sub(c, all, ggml_mul(c, all, lower)));
    ggml_tensor * sums    = ggml_cumsum(c, weights);
    ggml_tensor * total   = ggml_view_2d(c, sums, 1, n_lanes, sums->nb[1], size_t(n - 1) * sizeof(float));
    ggml_tensor * uniform = ggml_view_2d(c, uniforms_, 1, n_lanes, uniforms_->nb[1], size_t(index) * sizeof(float));
    ggml_tensor * reached = ggml_mul(c, above(sums, ggml_mul(c, ggml_cont(c, total), ggml_cont(c, uniform))), ggml_step(c, weights));
    return ggml_argmax(c, ggml_mul(c, reached, down_));
}

} // namespace omni
