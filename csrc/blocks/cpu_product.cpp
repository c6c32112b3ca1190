#include "blocks/cpu_product.h"

#include <algorithm>

namespace omni {

static const int64_t piece_bytes = 96 << 10;  // of weights: a few microseconds, far more than taking a piece costs

// Whole groups of what the kernel takes at once.
static int64_t piece_rows(const matvec & kernel, size_t stride) {
    const int64_t group = std::max<int64_t>(kernel.lanes, 8);
    return std::clamp<int64_t>((piece_bytes / int64_t(stride) + group / 2) / group * group, group, max_piece_rows);
}

cpu_product::cpu_product(const ggml_tensor * w, bool as_ggml)
    : kernel((as_ggml ? ggml_matvec : find_matvec)(w->type, w->ne[0])), data(static_cast<const char *>(w->data)), stride(w->nb[1]), apart(w->nb[2]), n_in(w->ne[0]), n_out(w->ne[1]),
      rows(piece_rows(kernel, w->nb[1])), n_pieces(int32_t((n_out + rows - 1) / rows)) {}

cpu_product cpu_product::at(int64_t i) const {
    cpu_product p = *this;
    p.data += size_t(i) * apart;
    return p;
}

bool cpu_product::serves(const ggml_tensor * w, bool many) {
    if (!w) {
        return true;
    }
    const matvec kernel = find_matvec(w->type, w->ne[0]);
    return w->buffer && ggml_backend_buffer_is_host(w->buffer) && kernel.multiply && (!many || kernel.lanes);
}

void cpu_product::multiply(int64_t r0, int64_t r1, const char * x, size_t x_stride, int64_t n_x, float * y, int64_t y_stride) const {
    kernel.multiply(kernel.type, data + size_t(r0) * stride, stride, r1 - r0, n_in, x, x_stride, n_x, y, y_stride);
}

} // namespace omni
