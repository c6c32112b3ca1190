#include "blocks/rvq.h"

#include "blocks/linear.h"
#include "core/error.h"

namespace omni {

rvq_hparams::rvq_hparams(const gguf_keys & kv, int64_t n_out)
    : n_groups(kv.size("n_groups")), n_semantic(kv.size("n_semantic")), codebook_size(kv.size("codebook_size")),
      codebook_dim(kv.size("codebook_dim")), n_out(n_out) {
    if (n_semantic >= n_groups) {
        fail(OMNI_ERROR_FORMAT, "%s: n_semantic is %lld, expected less than n_groups, %lld", kv.file().path().c_str(),
             (long long) n_semantic, (long long) n_groups);
    }
}

rvq::rvq(const loader & l, const rvq_hparams & hp) : hp(hp) {
    for (int64_t k = 0; k < hp.n_groups; k++) {
        books.push_back(l.scope("book").scope(k).f32("weight", {hp.codebook_dim, hp.codebook_size}));
    }
    first = l.f32("first_proj.weight", {hp.codebook_dim, hp.n_out});
    rest  = l.f32("rest_proj.weight", {hp.codebook_dim, hp.n_out});
}

ggml_tensor * rvq::build(graph & g, ggml_tensor * codes) const {
    const int64_t n_steps = codes->ne[0];
    const auto sum = [&](int64_t begin, int64_t end) {  // of the vectors of books [begin, end)
        ggml_tensor * total = nullptr;
        for (int64_t k = begin; k < end; k++) {
            ggml_tensor * ids = ggml_view_1d(g.ctx, codes, n_steps, size_t(k) * codes->nb[1]);
            ggml_tensor * vectors = ggml_get_rows(g.ctx, books[size_t(k)], ids);     // [codebook_dim, T]
            total = total ? ggml_add(g.ctx, total, vectors) : vectors;
        }
        return total;
    };
    ggml_tensor * coarse = linear(g, first, sum(0, hp.n_semantic), nullptr, 1);
    ggml_tensor * fine   = linear(g, rest, sum(hp.n_semantic, hp.n_groups), nullptr, 1);
    return ggml_add(g.ctx, coarse, fine);
}

} // namespace omni
