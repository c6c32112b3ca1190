#include "blocks/conv1d.h"

#include "blocks/linear.h"
#include "core/error.h"

namespace omni {

// w [n_in, kernel, n_out] over seen [n_in, (T - 1) * stride + (kernel - 1) * dilation + 1] -> [n_out, T].
static ggml_tensor * slide(graph & g, ggml_tensor * w, ggml_tensor * seen, ggml_tensor * b, int64_t stride, int64_t dilation) {
    const int64_t n_in = w->ne[0], kernel = w->ne[1], n_out = w->ne[2];
    const int64_t n_steps = (seen->ne[1] - (kernel - 1) * dilation - 1) / stride + 1;
    if (!g.cpu && (seen->flags & GGML_TENSOR_FLAG_INPUT)) {  // it lies with the CPU, and the scheduler cannot move such windows
        seen = ggml_cont(g.ctx, seen);
    }
    // Windows over time, overlapping. ggml measures a view by its elements and refuses one that is larger than what it
    // looks at, but its kernels follow strides only: so the axis of the kernel is put in afterwards.
    ggml_tensor * windows = ggml_view_3d(g.ctx, seen, n_in, 1, n_steps, seen->nb[1], size_t(stride) * seen->nb[1], 0);
    windows->ne[1] = kernel;
    windows->nb[1] = size_t(dilation) * seen->nb[1];
    ggml_tensor * columns = ggml_cont_2d(g.ctx, windows, n_in * kernel, n_steps);
    return linear(g, ggml_reshape_2d(g.ctx, w, n_in * kernel, n_out), columns, b, 1);
}

static ggml_tensor * plain_before(graph & g, ggml_tensor * x, const conv_around & around) {
    return around.before ? around.before->build(g, x) : x;
}

static ggml_tensor * plain_after(graph & g, ggml_tensor * y, const conv_around & around) {
    y = around.after ? around.after->build(g, y) : y;
    return around.add ? ggml_add(g.ctx, y, around.add) : y;
}

// The weights of one whose kernel lies as [n_in, kernel, n_out], whatever the shape is called, or none where the device has chains of nodes instead.
static std::optional<fused_conv> fuse(const loader & l, const shape & ne, int64_t n_in, int64_t kernel, int64_t n_out) {
    if (!fused_conv::runs(l)) {
        return std::nullopt;
    }
    return fused_conv(l, "weight", ne, n_in, kernel, n_out, [=](int64_t o, int64_t k) { return (o * kernel + k) * n_in; });
}

causal_conv1d::causal_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t dilation, int64_t stride)
    : n_in(n_in), n_out(n_out), kernel(kernel), dilation(dilation), stride(stride),
      fused(fuse(l, {n_in, kernel, n_out}, n_in, kernel, n_out)), w(fused ? nullptr : l.f32("weight", {n_in, kernel, n_out})), b(l.f32("bias", {n_out})),
      past(l, n_in, (kernel - 1) * dilation + 1 - stride) {}

ggml_tensor * causal_conv1d::build(graph & g, ggml_tensor * x, const conv_around & around) const {
    if (!fused) {
        return plain_after(g, slide(g, w, past.extend(g, plain_before(g, x, around)), b, stride, dilation), around);
    }
    ggml_tensor * before = past.n_steps ? g.state(past.state) : nullptr;
    ggml_tensor * y = fused->build(g, before, x, nullptr, b, around, {stride, dilation, 0, x->ne[1] / stride, false});
    if (past.n_steps) {
        g.after(y);  // which reads what is overwritten now
        keep_newest(g, before, x, around.before);
    }
    return y;
}

valid_conv1d::valid_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t stride)
    : n_in(n_in), n_out(n_out), kernel(kernel), stride(stride),
      fused(fuse(l, {n_in, kernel, n_out}, n_in, kernel, n_out)), w(fused ? nullptr : l.f32("weight", {n_in, kernel, n_out})) {}

ggml_tensor * valid_conv1d::build(graph & g, ggml_tensor * x) const {
    return fused ? fused->build(g, nullptr, x, nullptr, nullptr, {}, {stride, 1, 0, (x->ne[1] - kernel) / stride + 1, false})
                 : slide(g, w, x, nullptr, stride, 1);
}

depthwise_conv1d::depthwise_conv1d(const loader & l, int64_t n_channels, int64_t kernel)
    : n_channels(n_channels), kernel(kernel),
      w(l.f32("weight", {n_channels, kernel})), b(l.f32("bias", {n_channels})),
      past(l, n_channels, kernel - 1) {}

ggml_tensor * depthwise_conv1d::build(graph & g, ggml_tensor * x) const {
    ggml_tensor * seen = past.extend(g, x);                                          // [n_channels, T + kernel - 1]
    ggml_tensor * y = nullptr;
    for (int64_t k = 0; k < kernel; k++) {
        ggml_tensor * term = ggml_mul(g.ctx, steps(g, seen, k, x->ne[1]), steps(g, w, k, 1));
        y = ggml_add(g.ctx, y ? y : term, y ? term : b);
    }
    return y;                                                                        // [n_channels, T]
}

pointwise_conv1d::pointwise_conv1d(const loader & l, int64_t n_in, int64_t n_out)
    : fused(fuse(l, {n_in, n_out}, n_in, 1, n_out)), w(fused ? nullptr : l.f32("weight", {n_in, n_out})), b(l.f32("bias", {n_out})) {}

pointwise_conv1d::pointwise_conv1d(const loader & l, const std::string & weight, const std::string & bias, int64_t n_in, int64_t n_out)
    : w(nullptr), b(bias.empty() ? nullptr : l.f32(bias, {n_out})) {
    if (fused_conv::runs(l) && l.floats(weight)) {
        fused = fused_conv(l, weight, {n_in, n_out}, n_in, 1, n_out, [=](int64_t o, int64_t) { return o * n_in; });
    } else {
        w = l.weight(weight, {n_in, n_out});
    }
}

ggml_tensor * pointwise_conv1d::build(graph & g, ggml_tensor * x, const conv_around & around) const {
    return fused ? fused->build(g, nullptr, x, nullptr, b, around, {1, 1, 0, x->ne[1], false})
                 : plain_after(g, linear(g, w, plain_before(g, x, around), b, 1), around);
}

transposed_conv1d::transposed_conv1d(const loader & l, int64_t n_in, int64_t n_out, int64_t kernel, int64_t stride)
    : n_in(n_in), n_out(n_out), kernel(kernel), stride(stride),
      b(l.f32("bias", {n_out})) {
    if (kernel != stride && kernel != 2 * stride) {
        fail(OMNI_ERROR_INTERNAL, "a transposed convolution of kernel %lld and stride %lld, expected a kernel of one or two strides",
             (long long) kernel, (long long) stride);
    }
    if (kernel != stride) {
        overlap = l.state_zeros({n_out * stride, 1});
    }
    const int64_t n_new = n_out * stride, n_taps = kernel / stride;
    if (fused_conv::runs(l)) {  // the first tap is of the step before, whose outputs are the later ones of the kernel
        fused = fused_conv(l, "weight", {n_in, n_out * kernel}, n_in, n_taps, n_new,
                           [=](int64_t o, int64_t k) { return ((n_taps - 1 - k) * n_new + o) * n_in; });
    }
    w = fused ? nullptr : l.f32("weight", {n_in, n_out * kernel});
}

ggml_tensor * transposed_conv1d::build(graph & g, ggml_tensor * x, bool cut, const snake * before) const {
    const int64_t first = cut && kernel != stride ? 1 : 0;                           // the input step heard first
    const int64_t n_steps = x->ne[1], n_heard = n_steps - first, n_new = n_out * stride;
    if (fused) {
        const bool laps = kernel != stride;  // then one more row: what the last step adds to the next
        ggml_tensor * y = fused->build(g, nullptr, x, laps ? g.state(overlap) : nullptr, b, {before},
                                       {1, 1, first, n_heard + laps, laps});         // [n_new, T - first, or one more]
        if (laps) {
            g.store(overlap, steps(g, y, n_heard, 1));
        }
        return ggml_reshape_2d(g.ctx, steps(g, y, 0, n_heard), n_out, n_heard * stride);
    }
    x = before ? before->build(g, x) : x;
    ggml_tensor * y = linear(g, ggml_reshape_2d(g.ctx, w, n_in, n_out * kernel), x, nullptr, 1);  // [n_out * kernel, T]
    if (kernel != stride) {
        ggml_tensor * own  = ggml_view_2d(g.ctx, y, n_new, n_heard, y->nb[1], size_t(first) * y->nb[1]);
        ggml_tensor * next = ggml_cont(g.ctx, ggml_view_2d(g.ctx, y, n_new, n_steps, y->nb[1], size_t(n_new) * sizeof(float)));
        ggml_tensor * late = join(g, g.state(overlap), next);                        // [n_new, T + 1]
        g.store(overlap, steps(g, late, n_steps, 1));
        y = ggml_add(g.ctx, own, steps(g, late, first, n_heard));                    // [n_new, T - first]
    }
    return ggml_add(g.ctx, ggml_reshape_2d(g.ctx, y, n_out, n_heard * stride), b);
}

} // namespace omni
