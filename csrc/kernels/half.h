// Rounding to half precision, for the instruction sets that have F16C; each compiles it for itself.
#pragma once

#include <cstring>

#include <immintrin.h>

namespace {

inline float to_half_and_back(float v) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT))); }

} // namespace
