// What a caller asks of an encoder, checked, and turned into a run of its graph.
#pragma once

#include "components/component.h"
#include "core/session.h"

namespace omni {

// in [n, n_embd] -> out [1 + n_deepstack, n_out, n_hidden], n_out at most n_max; returns n_out. out NULL: says n_out, runs
// nothing. grid [3]: frames, rows and columns that the n rows are, for an encoder of patches; else nullptr.
int64_t encode(session & s, const component & c, const float * in, int64_t n, const int32_t * grid, float * out, int64_t n_max);

} // namespace omni
