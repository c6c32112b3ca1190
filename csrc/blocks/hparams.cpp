#include "blocks/hparams.h"

#include "core/error.h"

namespace omni {

static const int64_t max_layers = 1024;

transformer_hparams::transformer_hparams(const gguf_keys & kv, bool dense)
    : n_layer(kv.size("n_layer")), n_embd(kv.size("n_embd")), n_ff(dense ? kv.size("n_ff") : 0), n_head(kv.size("n_head")),
      n_head_kv(kv.size("n_head_kv")), head_dim(kv.size("head_dim")), rope_theta(kv.above_zero("rope_theta")) {
    const char * path = kv.file().path().c_str();
    if (n_layer > max_layers) {
        fail(OMNI_ERROR_FORMAT, "%s: n_layer is %lld, expected at most %lld", path, (long long) n_layer, (long long) max_layers);
    }
    if (n_head % n_head_kv != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: n_head is %lld, expected a multiple of n_head_kv, %lld", path, (long long) n_head,
             (long long) n_head_kv);
    }
    if (head_dim % 2 != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: head_dim is %lld, expected an even number (rotary positions turn pairs)", path,
             (long long) head_dim);
    }
}

} // namespace omni
