#include "blocks/rvq_search.h"

#include "blocks/linear.h"

namespace omni {

rvq_search::rvq_search(const loader & l, const rvq_hparams & hp) : hp(hp) {
    for (int64_t k = 0; k < hp.n_groups; k++) {
        const loader at = l.scope("book").scope(k);
        books.push_back(at.f32("weight", {hp.codebook_dim, hp.codebook_size}));
        lengths.push_back(at.f32("sqlen", {hp.codebook_size}));
    }
    first = l.f32("first_proj.weight", {hp.n_out, hp.codebook_dim});
    rest  = l.f32("rest_proj.weight", {hp.n_out, hp.codebook_dim});
}

// |v - row|^2 is |row|^2 - 2 row.v and a term that is the same for all rows. ggml's own argmax takes the last of equals.
static void nearest_rows(ggml_tensor * dst, int ith, int, void *) {
    if (ith != 0) {
        return;
    }
    const ggml_tensor * products = dst->src[0];
    const float *       lengths  = static_cast<const float *>(dst->src[1]->data);
    const int64_t       n        = products->ne[0];
    for (int64_t t = 0; t < products->ne[1]; t++) {
        const float * row = reinterpret_cast<const float *>(static_cast<const char *>(products->data) + size_t(t) * products->nb[1]);
        int32_t best = 0;
        float   least = lengths[0] - 2.0f * row[0];
        for (int64_t j = 1; j < n; j++) {
            const float d = lengths[j] - 2.0f * row[j];
            if (d < least) {
                least = d;
                best  = int32_t(j);
            }
        }
        static_cast<int32_t *>(dst->data)[t] = best;
    }
}

std::vector<ggml_tensor *> rvq_search::build(graph & g, ggml_tensor * x) const {
    std::vector<ggml_tensor *> codes;
    const auto search = [&](ggml_tensor * v, int64_t begin, int64_t end) {  // v [codebook_dim, T], books [begin, end)
        for (int64_t k = begin; k < end; k++) {
            ggml_tensor * products = linear(g, books[size_t(k)], v, nullptr, 1);     // [codebook_size, T]
            ggml_tensor * args[] = {products, lengths[size_t(k)]};
            ggml_tensor * ids = ggml_custom_4d(g.ctx, GGML_TYPE_I32, x->ne[1], 1, 1, 1, args, 2, nearest_rows, /*n_tasks =*/1, nullptr);
            codes.push_back(ids);
            if (k + 1 < end) {
                v = ggml_sub(g.ctx, v, ggml_get_rows(g.ctx, books[size_t(k)], ids));
            }
        }
    };
    search(linear(g, first, x, nullptr, 1), 0, hp.n_semantic);
    search(linear(g, rest, x, nullptr, 1), hp.n_semantic, hp.n_groups);
    return codes;
}

} // namespace omni
