#include "blocks/seanet.h"

#include "core/error.h"

namespace omni {

static const int64_t max_dilation = 1 << 16;

seanet_hparams seanet_hparams::read(const gguf_keys & kv, int64_t n_out) {
    seanet_hparams hp;
    hp.n_filters       = kv.size("n_filters");
    hp.compress        = kv.size("compress");
    hp.n_out           = n_out;
    hp.conv_kernel     = kv.size("conv_kernel");
    hp.last_kernel     = kv.size("last_kernel");
    hp.residual_kernel = kv.size("residual_kernel");
    hp.n_residual      = kv.size("n_residual");
    hp.dilation_growth = kv.size("dilation_growth");
    hp.strides         = kv.sizes("strides");

    const char * path = kv.file().path().c_str();
    if (hp.n_filters % hp.compress != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: n_filters is %lld, expected a multiple of compress, %lld", path, (long long) hp.n_filters,
             (long long) hp.compress);
    }
    if (hp.strides.size() > 16) {
        fail(OMNI_ERROR_FORMAT, "%s: there are %zu strides, expected at most 16", path, hp.strides.size());
    }
    int64_t dilation = 1;
    for (int64_t j = 1; j < hp.n_residual && dilation <= max_dilation && j <= 64; j++) {
        dilation *= hp.dilation_growth;
    }
    if (hp.n_residual > 64 || dilation > max_dilation) {
        fail(OMNI_ERROR_FORMAT, "%s: n_residual is %lld and dilation_growth %lld, expected at most 64 and a dilation up to %lld", path,
             (long long) hp.n_residual, (long long) hp.dilation_growth, (long long) max_dilation);
    }
    return hp;
}

int64_t seanet_hparams::row_samples() const {
    int64_t n = 1;
    for (int32_t s : strides) {
        n = n > INT32_MAX / s ? INT32_MAX : n * s;
    }
    return n;
}

static ggml_tensor * elu(graph & g, ggml_tensor * x) { return ggml_elu(g.ctx, x); }

elu_unit::elu_unit(const loader & l, int64_t n_channels, int64_t n_inner, int64_t kernel, int64_t dilation)
    : conv1(l.scope("conv1"), n_channels, n_inner, kernel, dilation), conv2(l.scope("conv2"), n_inner, n_channels) {}

ggml_tensor * elu_unit::build(graph & g, ggml_tensor * x) const {
    return ggml_add(g.ctx, conv2.build(g, elu(g, conv1.build(g, elu(g, x)))), x);
}

static std::vector<elu_unit> make_units(const loader & l, const seanet_hparams & hp, int64_t n_channels) {
    std::vector<elu_unit> units;
    int64_t dilation = 1;
    for (int64_t j = 0; j < hp.n_residual; j++, dilation *= hp.dilation_growth) {
        units.emplace_back(l.scope(j), n_channels, n_channels / hp.compress, hp.residual_kernel, dilation);
    }
    return units;
}

seanet::seanet(const loader & l, const seanet_hparams & hp)
    : hp(hp), conv_in(l.scope("conv_in"), 1, hp.n_filters, hp.conv_kernel),
      conv_out(l.scope("conv_out"), hp.n_filters << hp.strides.size(), hp.n_out, hp.last_kernel) {
    for (size_t i = 0; i < hp.strides.size(); i++) {
        const loader  at = l.scope("seanet").scope(int64_t(i));
        const int64_t n = hp.n_filters << i, stride = hp.strides[i];
        stages.push_back({make_units(at.scope("res"), hp, n), causal_conv1d(at.scope("conv"), n, 2 * n, 2 * stride, 1, stride)});
    }
}

ggml_tensor * seanet::build(graph & g, ggml_tensor * x, ggml_tensor * valid) const {
    x = conv_in.build(g, x);                                                         // [n_filters, n]
    for (const stage & s : stages) {
        for (const elu_unit & u : s.units) {
            x = u.build(g, x);
        }
        x = s.down.build(g, ggml_mul(g.ctx, elu(g, x), valid));                      // [2 * channels, T / stride]
        // a row is there where the first step of its stride is
        valid = ggml_cont(g.ctx, ggml_view_2d(g.ctx, valid, 1, x->ne[1], size_t(s.down.stride) * valid->nb[1], 0));
    }
    return conv_out.build(g, elu(g, x));                                             // [n_out, n / row_samples]
}

size_t seanet::max_nodes() const {
    const size_t conv = 24;  // a generous bound for one convolution, its state and what stands before it
    return 2 * conv + stages.size() * (2 * conv + size_t(hp.n_residual) * 2 * conv) + 64;
}

} // namespace omni
