// Rows of floats to rows of blocks, for who writes model files. Free of state: threads may share the work.
#pragma once

#include <cstddef>
#include <cstdint>

namespace omni {

// Bytes that n_rows rows take as `type`, a name as ggml prints it in any case; fails where there is no such block
// type, it needs more than the values, or a row is not whole blocks.
size_t quantized_size(const char * type, int64_t n_rows, int64_t n_per_row);

// in [n_rows, n_per_row] -> out, of quantized_size bytes. importance [n_per_row] or nullptr: how much an error in each
// column costs. Fails where a value is too large for the type's scales, or an importance is not finite or below zero.
void quantize_rows(const char * type, const float * in, int64_t n_rows, int64_t n_per_row, const float * importance, void * out);

} // namespace omni
