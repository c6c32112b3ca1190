#include "blocks/draw.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace omni {

namespace {

struct candidate {
    double  score;
    int32_t id;
};

int32_t largest(const float * logits, int64_t n) {
    return int32_t(std::max_element(logits, logits + n) - logits);  // the first of equals
}

int32_t sample(const float * logits, int64_t n, double temperature, double top_p, int64_t top_k, double uniform) {
    std::vector<candidate> kept(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i++) {
        kept[size_t(i)] = {double(logits[i]) / temperature, int32_t(i)};
    }
    if (top_k > 0 && top_k < n) {
        std::vector<double> scores(kept.size());
        std::transform(kept.begin(), kept.end(), scores.begin(), [](const candidate & c) { return c.score; });
        std::nth_element(scores.begin(), scores.begin() + (top_k - 1), scores.end(), std::greater<double>());
        const double least = scores[size_t(top_k - 1)];
        kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const candidate & c) { return c.score < least; }), kept.end());
    }
    double top = kept[0].score;
    for (const candidate & c : kept) {
        top = std::max(top, c.score);
    }
    if (top_p < 1.0) {
        std::stable_sort(kept.begin(), kept.end(), [](const candidate & a, const candidate & b) { return a.score < b.score; });
        double total = 0.0;
        for (const candidate & c : kept) {
            total += std::exp(c.score - top);
        }
        double below = 0.0;
        size_t first = 0;
        for (; first + 1 < kept.size(); first++) {
            below += std::exp(kept[first].score - top);
            if (below / total > 1.0 - top_p) {
                break;
            }
        }
        kept.erase(kept.begin(), kept.begin() + std::ptrdiff_t(first));
        std::sort(kept.begin(), kept.end(), [](const candidate & a, const candidate & b) { return a.id < b.id; });
    }
    double total = 0.0;
    for (const candidate & c : kept) {
        total += std::exp(c.score - top);
    }
    double cumulative = 0.0;
    for (const candidate & c : kept) {
        cumulative += std::exp(c.score - top);
        if (cumulative > uniform * total) {
            return c.id;
        }
    }
    return kept.back().id;
}

} // namespace

int32_t draw_id(const float * logits, int64_t n_vocab, const double * params, double uniform) {
    const bool finite = std::all_of(logits, logits + n_vocab, [](float x) { return std::isfinite(x); });
    return params[0] > 0.0 && finite ? sample(logits, n_vocab, params[0], params[1], int64_t(params[2]), uniform) : largest(logits, n_vocab);
}

static void draw_rows(ggml_tensor * dst, int ith, int, void * userdata) {
    if (ith != 0) {
        return;
    }
    const ggml_tensor * logits   = dst->src[0];
    const ggml_tensor * uniforms = dst->src[1];
    const double *      params   = static_cast<const double *>(dst->src[2]->data);
    const int64_t       index    = int64_t(reinterpret_cast<intptr_t>(userdata));
    const int64_t       n        = logits->ne[0];
    for (int64_t lane = 0; lane < logits->ne[1]; lane++) {
        const float * row = reinterpret_cast<const float *>(static_cast<const char *>(logits->data) + size_t(lane) * logits->nb[1]);
        const double  u   = static_cast<const double *>(uniforms->data)[lane * uniforms->ne[0] + index];
        static_cast<int32_t *>(dst->data)[lane] = draw_id(row, n, params, u);
    }
}

ggml_tensor * draw(graph & g, ggml_tensor * logits, ggml_tensor * uniforms, ggml_tensor * params, int64_t index) {
    ggml_tensor * args[] = {logits, uniforms, params};
    return ggml_custom_4d(g.ctx, GGML_TYPE_I32, logits->ne[1], 1, 1, 1, args, 3, draw_rows, /*n_tasks =*/1,
                          reinterpret_cast<void *>(intptr_t(index)));
}

} // namespace omni
