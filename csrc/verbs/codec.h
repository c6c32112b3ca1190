// What a caller asks of a codec, checked, and turned into runs of its graphs.
#pragma once

#include "components/component.h"
#include "core/session.h"
#include "omni.h"

namespace omni {

// Samples that n_frames more frames give where the lane is.
int64_t codec_samples(const session & s, const omni_info & info, int64_t lane, int64_t n_frames);

// codes [n_frames, n_groups] -> pcm [codec_samples], at most n_max; the lane goes on where it stopped.
void codec_decode(session & s, const omni_info & info, int64_t lane, const int32_t * codes, int64_t n_frames, float * pcm,
                  int64_t n_max);

// A whole clip: pcm [n] -> codes [n_frames, n_groups]; returns n_frames, which must be at most n_max.
// Whole-clip taps, channels fastest: seanet, encoder_transformer (one row per row_samples), downsample (one per frame).
int64_t codec_encode(session & s, const component & c, const float * pcm, int64_t n, int32_t * codes, int64_t n_max);

} // namespace omni
