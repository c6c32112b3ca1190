#include "core/quantize.h"

#include "core/error.h"

#include "ggml.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>

namespace omni {
namespace {

bool same_word(const char * a, const char * b) {
    const std::string x = a, y = b;
    return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), [](unsigned char p, unsigned char q) {
               return std::tolower(p) == std::tolower(q);
           });
}

ggml_type block_type(const char * name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const ggml_type type  = ggml_type(i);
        const char *    known = ggml_type_name(type);
        // q8_1 and q8_K are what activations become; they are never stored, and have no way from here
        if (known && same_word(known, name) && ggml_is_quantized(type) && type != GGML_TYPE_Q8_1 && type != GGML_TYPE_Q8_K &&
            !ggml_quantize_requires_imatrix(type)) {
            return type;
        }
    }
    fail(OMNI_ERROR_ARGUMENT, "type '%.32s' found, expected one that rows of floats can be stored as, such as q4_k or q8_0", name);
}

} // namespace

size_t quantized_size(const char * type, int64_t n_rows, int64_t n_per_row) {
    const ggml_type kind = block_type(type);
    const int64_t   size = ggml_blck_size(kind);
    if (n_rows < 1 || n_per_row < 1 || n_per_row % size) {
        fail(OMNI_ERROR_ARGUMENT, "%lld rows of %lld values found, expected 1 row or more of whole blocks of %lld",
             (long long) n_rows, (long long) n_per_row, (long long) size);
    }
    if (n_rows > (INT64_MAX >> 3) / n_per_row) {
        fail(OMNI_ERROR_ARGUMENT, "%lld rows of %lld values are more than fit in memory", (long long) n_rows, (long long) n_per_row);
    }
    return size_t(n_rows) * ggml_row_size(kind, n_per_row);
}

void quantize_rows(const char * type, const float * in, int64_t n_rows, int64_t n_per_row, const float * importance, void * out) {
    const ggml_type kind   = block_type(type);
    if (importance && !std::all_of(importance, importance + n_per_row, [](float x) { return std::isfinite(x) && x >= 0; })) {
        fail(OMNI_ERROR_ARGUMENT, "an importance is not finite or below zero, expected %lld numbers from 0", (long long) n_per_row);
    }
    // what is no number can vanish in a block, whose scale comes from comparisons
    const bool   finite = std::all_of(in, in + n_rows * n_per_row, [](float x) { return std::isfinite(x); });
    const size_t n      = finite ? ggml_quantize_chunk(kind, in, out, 0, n_rows, n_per_row, importance) : 0;
    if (!finite || !ggml_validate_row_data(kind, out, n)) {
        fail(OMNI_ERROR_FORMAT, "rows hold values that are not finite, or too large for the scales of %s", type);
    }
}

} // namespace omni
