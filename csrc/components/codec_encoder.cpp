// The codec encoder: samples in, frames of codes out. Strided convolutions, a transformer, a strided convolution and the
// search in a split residual quantiser (Mimi, arXiv 2410.00037). Three graphs, because each bounds its memory in a way
// of its own: the convolutions run over pieces of the signal, the transformer over blocks of rows with a KV cache.
#include "blocks/rvq_search.h"
#include "blocks/scaled_stack.h"
#include "blocks/seanet.h"
#include "components/component.h"

#include "core/error.h"

#include <algorithm>

namespace omni {

namespace {

const int32_t max_rows = 1 << 20;  // of one clip: eleven hours at 25 rows per second

struct codec_encoder final : component {
    explicit codec_encoder(const loader & l)
        : sample_rate(l.kv.size("sample_rate")), hop(l.kv.size("hop")), stride(l.kv.size("downsample_stride")),
          kernel(l.kv.size("downsample_kernel")), transformer(l, scaled_stack_hparams(l.kv)),
          front(l, seanet_hparams::read(l.kv, transformer.hp.n_embd)),
          downsample(l.scope("downsample"), transformer.hp.n_embd, transformer.hp.n_embd, kernel, stride),
          quantizer(l, rvq_hparams(l.kv, l.kv.size("n_embd"))) {
        const char * path = l.kv.file().path().c_str();
        const int64_t row = front.hp.row_samples();
        if (row > INT32_MAX / stride || hop != row * stride) {
            fail(OMNI_ERROR_FORMAT, "%s: codec_encoder.hop is %lld, expected the product of strides (%lld) and downsample_stride (%lld)",
                 path, (long long) hop, (long long) row, (long long) stride);
        }
        if (kernel < stride) {
            fail(OMNI_ERROR_FORMAT, "%s: codec_encoder.downsample_kernel is %lld, expected at least downsample_stride, %lld", path,
                 (long long) kernel, (long long) stride);
        }
    }

    omni_info info() const override {
        omni_info i{};
        i.kind        = OMNI_KIND_CODEC;
        i.n_embd      = int32_t(transformer.hp.n_embd);
        i.n_vocab     = int32_t(quantizer.hp.codebook_size);
        i.n_groups    = int32_t(quantizer.hp.n_groups);
        i.n_ctx_max   = int32_t(std::min<int64_t>(max_rows, INT32_MAX / front.hp.row_samples()));  // samples are counted in int32
        i.hop         = int32_t(hop);
        i.sample_rate = int32_t(sample_rate);
        i.row_samples = int32_t(front.hp.row_samples());
        return i;
    }

    int64_t kv_width() const override { return transformer.hp.kv_width(); }
    int64_t rows_per_frame() const override { return stride; }
    int64_t frame_kernel() const override { return kernel; }

    size_t max_nodes(const graph_key & key) const override {
        switch (key.verb) {
            case verb_pcm_to_rows: return front.max_nodes();
            case verb_rows_to_codes: return quantizer.max_nodes();
            default: return transformer.max_nodes();
        }
    }

    void build(graph & g) const override {
        const int64_t n = g.key.n, n_embd = transformer.hp.n_embd;
        if (g.key.verb == verb_pcm_to_rows) {
            const int64_t n_samples = n * front.hp.row_samples();
            ggml_tensor * pcm   = g.input("pcm", GGML_TYPE_F32, 1, n_samples);
            ggml_tensor * valid = g.input("valid", GGML_TYPE_F32, 1, n_samples);
            g.output("rows", front.build(g, pcm, valid));                            // [n_embd, n]
        } else if (g.key.verb == verb_rows_to_codes) {
            ggml_tensor * rows = g.input("rows", GGML_TYPE_F32, n_embd, (n - 1) * stride + kernel);
            ggml_tensor * x = downsample.build(g, rows);                             // [n_embd, n]
            g.output("frames", x);
            const std::vector<ggml_tensor *> codes = quantizer.build(g, x);
            for (size_t k = 0; k < codes.size(); k++) {
                g.output("code." + std::to_string(k), codes[k]);                     // [n]
            }
        } else {
            ggml_tensor * rows = g.input("rows", GGML_TYPE_F32, n_embd, n);
            g.output("hidden", transformer.build(g, rows, kv_inputs::make(g, n, g.key.n_kv, kv_width())));
        }
    }

    int64_t      sample_rate, hop, stride, kernel;
    scaled_stack transformer;
    seanet       front;
    valid_conv1d downsample;
    rvq_search   quantizer;
};

} // namespace

std::unique_ptr<component> make_codec_encoder(const loader & l) { return std::make_unique<codec_encoder>(l.widened()); }

} // namespace omni
