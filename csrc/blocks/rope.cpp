#include "blocks/rope.h"

#include <cmath>

namespace omni {

ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * pos, float theta) {
    // ggml multiplies its angle by theta^(-2 / head_dim) from channel to channel, so the rounding adds up. Given base 1
    // and the period of each channel as a factor, an angle is rounded once, as in the reference.
    const int head_dim = int(x->ne[0]);
    std::vector<float> period(size_t(head_dim / 2));
    for (int j = 0; j < head_dim / 2; j++) {
        period[size_t(j)] = float(std::pow(double(theta), 2.0 * j / head_dim));
    }
    ggml_tensor * factors = g.constant("rope." + std::to_string(head_dim) + "." + std::to_string(theta), period);
    return ggml_rope_ext(g.ctx, x, pos, factors, head_dim, GGML_ROPE_TYPE_NEOX, 0, 1.0f, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
}

std::vector<float> rope_turns(const rope_axes & axes, const float * pos, int64_t n) {
    const int64_t half = axes.head_dim / 2;
    const int64_t n_axes = int64_t(axes.n_axes());
    std::vector<float> turns(size_t(n * axes.head_dim));
    for (int64_t f = 0; f < half; f++) {
        const float   frequency = 1.0f / std::pow(axes.theta, float(2 * f) / float(axes.head_dim));
        const int64_t turn = f % n_axes;
        const int64_t axis = f < n_axes * axes.sections[size_t(turn)] ? turn : 0;
        for (int64_t i = 0; i < n; i++) {
            const float angle = pos[i * n_axes + axis] * frequency;  // rounded once, as in the reference
            turns[size_t(i * axes.head_dim + f)]        = float(std::cos(double(angle)));
            turns[size_t(i * axes.head_dim + half + f)] = float(std::sin(double(angle)));
        }
    }
    return turns;
}

static void turn_rows(ggml_tensor * dst, const ggml_tensor * x, const ggml_tensor * turns, int ith, int nth, void *) {
    const int64_t half = x->ne[0] / 2, n_head = x->ne[1], n_rows = n_head * x->ne[2];
    for (int64_t r = n_rows * ith / nth; r < n_rows * (ith + 1) / nth; r++) {
        const float * cosine = static_cast<const float *>(turns->data) + r / n_head * 2 * half;
        const float * sine   = cosine + half;
        const float * from   = static_cast<const float *>(x->data) + r * 2 * half;
        float *       to     = static_cast<float *>(dst->data) + r * 2 * half;
        for (int64_t f = 0; f < half; f++) {
            const float a = from[f], b = from[half + f];
            to[f]        = a * cosine[f] - b * sine[f];
            to[half + f] = b * cosine[f] + a * sine[f];
        }
    }
}

ggml_tensor * rope(graph & g, ggml_tensor * x, ggml_tensor * turns) {
    if (g.cpu) {  // one node in place of seven
        return ggml_map_custom2(g.ctx, x, turns, turn_rows, GGML_N_TASKS_MAX, nullptr);
    }
    ggml_context * c = g.ctx;
    const int64_t half = x->ne[0] / 2, n_rows = x->ne[2];
    const size_t  skip = size_t(half) * sizeof(float);
    ggml_tensor * a = ggml_view_3d(c, x, half, x->ne[1], n_rows, x->nb[1], x->nb[2], 0);      // [half, n_head, n_rows]
    ggml_tensor * b = ggml_view_3d(c, x, half, x->ne[1], n_rows, x->nb[1], x->nb[2], skip);
    ggml_tensor * cosine = ggml_view_3d(c, turns, half, 1, n_rows, turns->nb[1], turns->nb[1], 0);
    ggml_tensor * sine   = ggml_view_3d(c, turns, half, 1, n_rows, turns->nb[1], turns->nb[1], skip);
    return ggml_concat(c, ggml_sub(c, ggml_mul(c, a, cosine), ggml_mul(c, b, sine)),
                       ggml_add(c, ggml_mul(c, b, cosine), ggml_mul(c, a, sine)), 0);
}

} // namespace omni
