// Rows for a language model: out of its tables, or out of another network's rows.
#include "verbs/lm.h"

#include "core/error.h"

#include <algorithm>

namespace omni {

static const int32_t max_rows = 512;  // in one graph; more go in pieces

void check_ids(const char * what, const int32_t * ids, int64_t n, int64_t n_ids) {
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= n_ids) {
            fail(OMNI_ERROR_ARGUMENT, "%s %lld is %d, expected 0 to %lld", what, (long long) i, ids[i], (long long) n_ids - 1);
        }
    }
}

void lm_embed(session & s, const component & c, int32_t table, const int32_t * ids, int32_t n, float * out) {
    const omni_info info = c.info();
    if (table < 0 || table >= info.n_tables) {
        fail(OMNI_ERROR_ARGUMENT, "embedding table %d, expected 0 to %d", table, info.n_tables - 1);
    }
    if (!c.table_size(table)) {
        fail(OMNI_ERROR_ARGUMENT, "embedding table %d is not one this component has", table);
    }
    check_ids("id", ids, n, c.table_size(table));
    for (int32_t at = 0; at < n; at += max_rows) {
        graph_key key;
        key.verb  = verb_embed;
        key.n     = std::min(max_rows, n - at);
        key.which = table;
        const size_t n_out = size_t(key.n) * size_t(info.n_embd);
        s.run(key, {{"ids", ids + at, size_t(key.n) * sizeof(int32_t)}},
              {{"rows", out + size_t(at) * size_t(info.n_embd), n_out * sizeof(float)}});
    }
}

void lm_project(session & s, const omni_info & info, int32_t which, const float * in, int32_t n, float * out) {
    if (which < 0 || which >= info.n_projections) {
        fail(OMNI_ERROR_ARGUMENT, "projection %d, expected 0 to %d", which, info.n_projections - 1);
    }
    for (int32_t at = 0; at < n; at += max_rows) {
        graph_key key;
        key.verb  = verb_project;
        key.n     = std::min(max_rows, n - at);
        key.which = which;
        s.run(key, {{"given", in + size_t(at) * size_t(info.n_embd_proj), size_t(key.n) * size_t(info.n_embd_proj) * sizeof(float)}},
              {{"rows", out + size_t(at) * size_t(info.n_embd), size_t(key.n) * size_t(info.n_embd) * sizeof(float)}});
    }
}

} // namespace omni
