#include "core/joined.h"

#include "core/error.h"
#include "core/headroom.h"

#include "ggml-alloc.h"

namespace omni {

joined_rows::joined_rows(std::shared_ptr<const omni::device> d, int64_t n_lanes, int64_t n_hidden, int64_t n_embd)
    : device(std::move(d)), n_lanes(n_lanes) {
    const size_t n_bytes = 3 * ggml_tensor_overhead();
    need_memory(n_bytes);
    ctx_.reset(ggml_init({/*.mem_size =*/n_bytes, /*.mem_buffer =*/nullptr, /*.no_alloc =*/true}));
    hidden = ggml_new_tensor_2d(ctx_.get(), GGML_TYPE_F32, n_hidden, 2 * n_lanes);
    sum    = ggml_new_tensor_2d(ctx_.get(), GGML_TYPE_F32, n_embd, 2 * n_lanes);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(ctx_.get(), device->buffer_type()));
    if (!buffer_) {
        fail(OMNI_ERROR_MEMORY, "the rows that %lld lanes pass each other do not fit on device '%s'", (long long) n_lanes,
             device->name().c_str());
    }
    ggml_backend_buffer_clear(buffer_.get(), 0);
}

} // namespace omni
