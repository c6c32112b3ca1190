#include "blocks/linear_node.h"

#include <algorithm>
#include <memory>

namespace omni {

char * linear_node::forms() { return reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(forms_.data()) + 63) / 64 * 64); }

void linear_node::piece(int32_t step, int32_t piece, int) {
    const size_t bytes = p_.ready_bytes();
    if (step == 0) {
        const float * x = static_cast<const float *>(dst_->src[0]->data);
        for (int64_t i = piece * rows_at_once; i < std::min((piece + 1) * rows_at_once, n_); i++) {
            p_.kernel.ready(p_.kernel.type, x + i * p_.n_in, p_.n_in, forms() + size_t(i) * bytes);
        }
        return;
    }
    const int64_t r0 = piece * p_.rows, r1 = std::min(r0 + p_.rows, p_.n_out);
    float * y = static_cast<float *>(dst_->data);
    p_.multiply(r0, r1, forms(), bytes, n_, y + r0, p_.n_out);
    for (int64_t i = 0; b_ && i < n_; i++) {
        for (int64_t r = r0; r < r1; r++) {
            y[i * p_.n_out + r] += static_cast<const float *>(b_->data)[r];
        }
    }
}

void linear_node::compute(ggml_tensor *, int thread, int n_threads, void * self) {
    linear_node & node = *static_cast<linear_node *>(self);
    node.team_.run(node, thread, n_threads);
}

ggml_tensor * linear_node::build(graph & g, const ggml_tensor * w, ggml_tensor * x, const ggml_tensor * b) {
    std::shared_ptr<linear_node> node(new linear_node(w, b, x->ne[1]));
    ggml_tensor * y = ggml_custom_4d(g.ctx, GGML_TYPE_F32, w->ne[1], x->ne[1], 1, 1, &x, 1, compute, GGML_N_TASKS_MAX, node.get());
    node->dst_ = y;
    node->team_.prepare(*node, g.n_threads);
    g.keep(node, node->forms_.size());
    return y;
}

} // namespace omni
