#include "blocks/fused_conv.h"

#include <cstdlib>
#include <cstring>

namespace omni {

bool fused_conv::runs(const loader & l) {
    const char * asked = std::getenv("PYOMNI_CPU_FUSED");
    return l.on_cpu() && !(asked && std::strcmp(asked, "0") == 0);
}

fused_conv::fused_conv(const loader & l, const std::string & name, const shape & ne, int64_t n_in, int64_t n_taps, int64_t n_out,
                       std::function<int64_t(int64_t o, int64_t k)> at)
    : panels_(std::make_shared<std::unique_ptr<conv_panels>>()), n_threads_(l.n_threads()) {
    l.values(name, ne, [=, panels = panels_](const float * w, const load_options & how) {
        const conv_kernels * fast = how.fast ? conv_fast() : nullptr;
        const conv_kernels * kernels = fast ? fast : conv_exact();
        *panels = std::make_unique<conv_panels>(n_out == 1 ? kernels->narrow : kernels, w, n_in, n_taps, n_out, at);
        return (*panels)->n_bytes();
    });
}

// What a run of the node needs beside its tensors, whose data have a place only then.
struct fused_conv::node {
    conv_run     run;
    int          past = -1, x = -1, carry = -1, bias = -1, before = -1, after = -1, add = -1;  // numbers of sources
    int64_t      n_scratch = 0;  // floats of a thread, behind the output
    int          n_threads = 0;
    conv_counter counter;
};

ggml_tensor * fused_conv::build(graph & g, ggml_tensor * past, ggml_tensor * x, ggml_tensor * carry, ggml_tensor * bias,
                                const conv_around & around, const shape_of & shape) const {
    const conv_panels & w = **panels_;
    ggml_tensor * sources[GGML_MAX_SRC];
    int n_sources = 0;
    const auto source = [&](ggml_tensor * t) {
        if (!t) {
            return -1;
        }
        sources[n_sources] = t;
        return n_sources++;
    };
    const auto snaked = [&](const snake * s) {
        const int at = s ? source(s->a) : -1;
        source(s ? s->b : nullptr);
        return at;
    };
    const auto rows_together = [&](ggml_tensor * t) { return !t || ggml_is_contiguous(t) ? t : ggml_cont(g.ctx, t); };
    x = rows_together(x);
    auto n = std::make_shared<node>();
    n->past   = source(past);
    n->x      = source(x);
    n->carry  = source(carry);
    n->bias   = source(bias);
    n->before = snaked(around.before);
    n->after  = snaked(around.after);
    n->add    = source(rows_together(around.add));

    conv_run & r = n->run;
    r.w = &w;
    r.n_past     = past ? past->ne[1] : carry ? 1 : 0;
    r.n_rows     = x->ne[1];
    r.stride     = shape.stride;
    r.dilation   = shape.dilation;
    r.n_bias     = bias ? bias->ne[0] : 0;
    r.from       = shape.from;
    r.n_out_rows = shape.n_rows;
    r.bare_last  = shape.bare_last;
    n->n_scratch = conv_scratch_floats(r);
    n->n_threads = n_threads_;

    const int64_t n_floats = w.n_out * shape.n_rows;
    ggml_tensor * made = ggml_custom_4d(g.ctx, GGML_TYPE_F32, n_floats + n_threads_ * n->n_scratch, 1, 1, 1, sources, n_sources,
                                        compute, GGML_N_TASKS_MAX, n.get());
    g.keep(n);
    return ggml_view_2d(g.ctx, made, w.n_out, shape.n_rows, size_t(w.n_out) * sizeof(float), 0);
}

void fused_conv::compute(ggml_tensor * dst, int ith, int nth, void * userdata) {
    node & n = *static_cast<node *>(userdata);
    const auto data = [&](int i) { return i < 0 ? nullptr : static_cast<const float *>(dst->src[i]->data); };
    conv_run r = n.run;
    r.past     = data(n.past);
    r.x        = data(n.x);
    r.carry    = data(n.carry);
    r.bias     = data(n.bias);
    r.residual = data(n.add);
    if (n.before >= 0) {
        r.snake_in = {data(n.before), data(n.before + 1)};
    }
    if (n.after >= 0) {
        r.snake_out = {data(n.after), data(n.after + 1)};
    }
    r.out = static_cast<float *>(dst->data);
    conv_compute(r, r.out + r.w->n_out * r.n_out_rows + ith * n.n_scratch, n.counter, ith, nth);
}

} // namespace omni
