#include "verbs/encoder.h"

#include "core/error.h"

#include <cmath>

namespace omni {

int64_t encode(session & s, const component & c, const float * in, int64_t n, float * out, int64_t n_max) {
    const omni_info info = c.info();
    if (n < info.n_rows_min) {
        fail(OMNI_ERROR_ARGUMENT, "%lld rows, expected %d or more", (long long) n, info.n_rows_min);
    }
    for (int64_t i = 0; i < n * info.n_embd; i++) {
        if (!std::isfinite(in[i])) {
            fail(OMNI_ERROR_ARGUMENT, "row %lld, column %lld is %g, expected a finite number", (long long) (i / info.n_embd),
                 (long long) (i % info.n_embd), double(in[i]));
        }
    }
    const int64_t n_out = c.n_rows_out(n);
    if (!out) {
        return n_out;
    }
    if (n_out > n_max) {
        fail(OMNI_ERROR_ARGUMENT, "room for %lld rows, expected %lld or more", (long long) n_max, (long long) n_out);
    }
    graph_key key;
    key.verb = verb_encode;
    key.n    = int32_t(n);
    s.run(key, {{"rows", in, size_t(n * info.n_embd) * sizeof(float)}},
          {{"rows_out", out, size_t(n_out * info.n_hidden) * sizeof(float)}});
    return n_out;
}

} // namespace omni
