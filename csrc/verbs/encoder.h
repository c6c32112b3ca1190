// What a caller asks of an encoder, checked, and turned into a run of its graph.
#pragma once

#include "components/component.h"
#include "core/session.h"

namespace omni {

// in [n, n_embd] -> out [n_out, n_hidden], at most n_max rows of it; returns n_out. out NULL: says n_out, runs nothing.
int64_t encode(session & s, const component & c, const float * in, int64_t n, float * out, int64_t n_max);

} // namespace omni
