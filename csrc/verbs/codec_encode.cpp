#include "verbs/codec.h"

#include "blocks/kv_cache.h"
#include "core/error.h"

#include <algorithm>
#include <cmath>

namespace omni {

namespace {

// Every run of a kind has one size, the last one filled up: a clip of another length needs no graph of its own.
const int64_t max_piece_samples = 16384, max_piece_rows = 64;  // of the convolutions: 25 MB at the 12 Hz codec's sizes
const int64_t n_block = kv_block;                              // rows of the transformer
const int64_t n_frames_at_once = 32;                           // frames that are quantised together

struct encoder {
    session &         s;
    const component & c;
    const omni_info   info;
    const size_t      n_embd;

    std::vector<float> to_rows(const float * pcm, int64_t n, int64_t n_rows);
    std::vector<float> transform(const std::vector<float> & rows, int64_t n_rows);
    void to_codes(const std::vector<float> & hidden, int64_t n_rows, int64_t n_frames, int32_t * codes);
};

// [n] -> [n_rows, n_embd]
std::vector<float> encoder::to_rows(const float * pcm, int64_t n, int64_t n_rows) {
    const int64_t n_piece = std::clamp<int64_t>(max_piece_samples / info.row_samples, 1, max_piece_rows);
    const int64_t n_samples = n_piece * info.row_samples;
    std::vector<float> piece, valid, made(size_t(n_piece) * n_embd), rows(size_t(n_rows) * n_embd);
    graph_key key;
    key.verb = verb_pcm_to_rows;
    key.n    = int32_t(n_piece);
    for (int64_t row = 0; row < n_rows; row += n_piece) {
        const int64_t at = row * info.row_samples, n_here = std::min(n_samples, n - at);
        piece.assign(size_t(n_samples), 0.0f);
        valid.assign(size_t(n_samples), 0.0f);
        std::copy_n(pcm + at, n_here, piece.begin());
        std::fill_n(valid.begin(), n_here, 1.0f);
        s.run(key, {{"pcm", piece.data(), piece.size() * sizeof(float)}, {"valid", valid.data(), valid.size() * sizeof(float)}},
              {{"rows", made.data(), made.size() * sizeof(float)}});
        std::copy_n(made.begin(), size_t(std::min(n_piece, n_rows - row)) * n_embd, rows.begin() + std::ptrdiff_t(size_t(row) * n_embd));
    }
    return rows;
}

// [n_rows, n_embd] -> the same. Rows that fill up the last block come after all others, which do not see them.
std::vector<float> encoder::transform(const std::vector<float> & rows, int64_t n_rows) {
    std::vector<float> block, made(size_t(n_block) * n_embd), hidden(rows.size());
    graph_key key;
    key.verb = verb_decode;
    key.n    = int32_t(n_block);
    for (int64_t row = 0; row < n_rows; row += n_block) {
        const size_t at = size_t(row) * n_embd, n_here = size_t(std::min(n_block, n_rows - row)) * n_embd;
        block.assign(made.size(), 0.0f);
        std::copy_n(rows.begin() + std::ptrdiff_t(at), n_here, block.begin());
        key.n_kv = int32_t(row + n_block);
        const kv_feed kv(s, 0, {row}, n_block, key.n_kv, c.kv_width());
        std::vector<feed> in = {{"rows", block.data(), block.size() * sizeof(float)}};
        kv.append(in);
        s.run(key, in, {{"hidden", made.data(), made.size() * sizeof(float)}});
        std::copy_n(made.begin(), n_here, hidden.begin() + std::ptrdiff_t(at));
    }
    return hidden;
}

// [n_rows, n_embd] -> [n_frames, n_groups]. The first row stands for what came before it, the last for what would
// complete its frame.
void encoder::to_codes(const std::vector<float> & hidden, int64_t n_rows, int64_t n_frames, int32_t * codes) {
    const int64_t stride = c.rows_per_frame(), kernel = c.frame_kernel(), n = n_frames_at_once;
    const size_t  n_groups = size_t(info.n_groups);
    std::vector<float>   seen(size_t((n - 1) * stride + kernel) * n_embd), made(size_t(n) * n_embd), frames(size_t(n_frames) * n_embd);
    std::vector<int32_t> ids(n_groups * size_t(n));  // [n_groups, n]
    std::vector<std::string> names(n_groups);
    std::vector<fetch> out = {{"frames", made.data(), made.size() * sizeof(float)}};
    for (size_t k = 0; k < n_groups; k++) {
        names[k] = "code." + std::to_string(k);
        out.push_back({names[k].c_str(), &ids[k * size_t(n)], size_t(n) * sizeof(int32_t)});
    }
    graph_key key;
    key.verb = verb_rows_to_codes;
    key.n    = int32_t(n);
    for (int64_t frame = 0; frame < n_frames; frame += n) {
        for (int64_t i = 0; i * int64_t(n_embd) < int64_t(seen.size()); i++) {
            const int64_t row = std::clamp<int64_t>(frame * stride + i - (kernel - stride), 0, n_rows - 1);
            std::copy_n(hidden.begin() + row * std::ptrdiff_t(n_embd), n_embd, seen.begin() + i * std::ptrdiff_t(n_embd));
        }
        s.run(key, {{"rows", seen.data(), seen.size() * sizeof(float)}}, out);
        const size_t n_here = size_t(std::min(n, n_frames - frame));
        std::copy_n(made.begin(), n_here * n_embd, frames.begin() + std::ptrdiff_t(size_t(frame) * n_embd));
        for (size_t t = 0; t < n_here; t++) {
            for (size_t k = 0; k < n_groups; k++) {
                codes[(size_t(frame) + t) * n_groups + k] = ids[k * size_t(n) + t];
            }
        }
    }
    if (!std::all_of(frames.begin(), frames.end(), [](float x) { return std::isfinite(x); })) {
        fail(OMNI_ERROR_ARGUMENT, "the samples are too large: the encoder's rows overflowed; expected samples of about -1 to 1");
    }
    s.keep_tap("downsample", frames);
}

} // namespace

int64_t codec_encode(session & s, const component & c, const float * pcm, int64_t n, int32_t * codes, int64_t n_max) {
    const omni_info info = c.info();
    if (n < 1) {
        fail(OMNI_ERROR_ARGUMENT, "%lld samples, expected at least 1", (long long) n);
    }
    for (int64_t i = 0; i < n; i++) {
        if (!std::isfinite(pcm[i])) {
            fail(OMNI_ERROR_ARGUMENT, "sample %lld is %g, expected a finite number", (long long) i, double(pcm[i]));
        }
    }
    const int64_t n_rows = (n + info.row_samples - 1) / info.row_samples, n_frames = (n + info.hop - 1) / info.hop;
    if (n_frames > n_max) {
        fail(OMNI_ERROR_ARGUMENT, "there is room for %lld frames, %lld samples make %lld", (long long) n_max, (long long) n,
             (long long) n_frames);
    }
    if (n_rows > s.n_ctx()) {
        fail(OMNI_ERROR_CONTEXT, "%lld samples take %lld positions, the session holds %lld", (long long) n, (long long) n_rows,
             (long long) s.n_ctx());
    }
    s.rewind(0, 0);
    encoder e{s, c, info, size_t(info.n_embd)};
    const std::vector<float> rows = e.to_rows(pcm, n, n_rows);
    s.keep_tap("seanet", rows);
    const std::vector<float> hidden = e.transform(rows, n_rows);
    s.keep_tap("encoder_transformer", hidden);
    e.to_codes(hidden, n_rows, n_frames, codes);
    return n_frames;
}

} // namespace omni
