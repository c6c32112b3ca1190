// What a caller asks of a codec, checked, and turned into runs of its graphs.
#pragma once

#include "core/session.h"
#include "omni.h"

namespace omni {

// codes [n_frames, n_groups] -> pcm [n_frames * hop]; the lane goes on where it stopped.
void codec_decode(session & s, const omni_info & info, int64_t lane, const int32_t * codes, int64_t n_frames, float * pcm);

} // namespace omni
