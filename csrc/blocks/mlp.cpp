#include "blocks/mlp.h"

#include "blocks/linear.h"

namespace omni {

swiglu_mlp::swiglu_mlp(const loader & l, int64_t n_embd, int64_t n_ff, const std::string & suffix)
    : gate(l.matrix("ffn_gate" + suffix + ".weight", {n_embd, n_ff})), up(l.matrix("ffn_up" + suffix + ".weight", {n_embd, n_ff})),
      down(l.matrix("ffn_down" + suffix + ".weight", {n_ff, n_embd})) {}

ggml_tensor * swiglu_mlp::build(graph & g, ggml_tensor * x, int64_t n_lanes) const {
    ggml_tensor * h = ggml_swiglu_split(g.ctx, linear(g, gate, x, nullptr, n_lanes), linear(g, up, x, nullptr, n_lanes));
    return linear(g, down, h, nullptr, n_lanes);
}

gelu_mlp::gelu_mlp(const loader & l, int64_t n_embd, int64_t n_ff)
    : up(l.weight("ffn_up.weight", {n_embd, n_ff})), down(l.weight("ffn_down.weight", {n_ff, n_embd})) {}

ggml_tensor * gelu_mlp::build(graph & g, ggml_tensor * x, int64_t n_lanes) const {
    return linear(g, down, ggml_gelu_erf(g.ctx, linear(g, up, x, nullptr, n_lanes)), nullptr, n_lanes);
}

} // namespace omni
