#include "verbs/codec.h"

#include "core/error.h"

#include <algorithm>

namespace omni {

// Samples in one graph: some 8 frames of the 12 Hz codec. A graph's memory grows with them (8 MB a frame there), while
// the time per frame falls no further. And frames: attention is quadratic in them.
static const int64_t max_graph_samples = 16384, max_graph_frames = 64;

int64_t codec_samples(const session & s, const omni_info & info, int64_t lane, int64_t n_frames) {
    s.check_lane(lane);
    const int64_t n_past = s.n_past(lane);
    if (n_frames < 1 || n_frames > INT32_MAX - n_past) {
        fail(OMNI_ERROR_ARGUMENT, "%lld frames, expected 1 to %lld", (long long) n_frames, (long long) (INT32_MAX - n_past));
    }
    return n_frames * info.hop - (n_past == 0 ? info.lead : 0);
}

void codec_decode(session & s, const omni_info & info, int64_t lane, const int32_t * codes, int64_t n_frames, float * pcm,
                  int64_t n_max) {
    const int64_t n_samples = codec_samples(s, info, lane, n_frames);
    if (n_samples > n_max) {
        fail(OMNI_ERROR_ARGUMENT, "room for %lld samples, expected %lld", (long long) n_max, (long long) n_samples);
    }
    const int64_t n_groups = info.n_groups;
    for (int64_t i = 0; i < n_frames * n_groups; i++) {
        if (codes[i] < 0 || codes[i] >= info.n_vocab) {
            fail(OMNI_ERROR_ARGUMENT, "the code of frame %lld, group %lld is %d, expected 0 to %d", (long long) (i / n_groups),
                 (long long) (i % n_groups), codes[i], info.n_vocab - 1);
        }
    }
    const int64_t n_wide = std::clamp<int64_t>(max_graph_samples / info.hop, 1, max_graph_frames);
    std::vector<int32_t> turned;
    for (int64_t at = 0, n; at < n_frames; at += n) {
        // The graph of a start runs once and is kept with the others: of one frame, it takes the least memory.
        const bool starts = info.lead && s.n_past(lane) == 0;
        n = starts ? 1 : std::min(n_wide, n_frames - at);
        turned.resize(size_t(n * n_groups));  // [n_groups][n]: a group's codes together
        for (int64_t t = 0; t < n; t++) {
            for (int64_t k = 0; k < n_groups; k++) {
                turned[size_t(k * n + t)] = codes[(at + t) * n_groups + k];
            }
        }
        graph_key key;
        key.verb  = verb_codes_to_pcm;
        key.n     = int32_t(n);
        key.lane0 = int32_t(lane);
        key.start = starts;
        const int64_t n_made = codec_samples(s, info, lane, n);
        s.run(key, {{"codes", turned.data(), turned.size() * sizeof(int32_t)}}, {{"pcm", pcm, size_t(n_made) * sizeof(float)}});
        s.advance(lane, n);
        pcm += n_made;
    }
}

} // namespace omni
