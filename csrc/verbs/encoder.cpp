#include "verbs/encoder.h"

#include "core/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace omni {

// Frames of a grid do not see each other, so they go through in runs of about this many rows, and a graph's memory is
// bounded by one frame however long the film.
static const int64_t run_rows = 4096;

static void check_grid(const omni_info & info, const int32_t * grid, int64_t n) {
    const int64_t merge = info.grid_merge;
    if (!merge || !grid) {
        if (!merge != !grid) {
            fail(OMNI_ERROR_ARGUMENT, grid ? "a grid was given, but this encoder's rows have none"
                                           : "no grid was given, expected how many frames, rows and columns the rows are");
        }
        return;
    }
    const int64_t t = grid[0], h = grid[1], w = grid[2];
    if (t < 1 || h < 1 || w < 1 || h % merge != 0 || w % merge != 0) {
        fail(OMNI_ERROR_ARGUMENT, "the grid is %lld x %lld x %lld, expected frames of rows and columns that are multiples of %lld",
             (long long) t, (long long) h, (long long) w, (long long) merge);
    }
    if (h * w > n || n % (h * w) != 0 || n / (h * w) != t) {
        fail(OMNI_ERROR_ARGUMENT, "%lld rows, expected as many as the grid %lld x %lld x %lld has places", (long long) n, (long long) t,
             (long long) h, (long long) w);
    }
}

int64_t encode(session & s, const component & c, const float * in, int64_t n, const int32_t * grid, float * out, int64_t n_max) {
    const omni_info info = c.info();
    if (n < info.n_rows_min) {
        fail(OMNI_ERROR_ARGUMENT, "%lld rows, expected %d or more", (long long) n, info.n_rows_min);
    }
    check_grid(info, grid, n);
    const int64_t n_out = c.n_rows_out(n);
    if (!out) {
        return n_out;
    }
    if (n_out > n_max) {
        fail(OMNI_ERROR_ARGUMENT, "room for %lld rows, expected %lld or more", (long long) n_max, (long long) n_out);
    }
    for (int64_t i = 0; i < n * info.n_embd; i++) {
        if (!std::isfinite(in[i])) {
            fail(OMNI_ERROR_ARGUMENT, "row %lld, column %lld is %g, expected a finite number", (long long) (i / info.n_embd),
                 (long long) (i % info.n_embd), double(in[i]));
        }
    }
    graph_key key;
    key.verb   = verb_encode;
    key.grid_h = grid ? grid[1] : 0;
    key.grid_w = grid ? grid[2] : 0;

    const int64_t frame = grid ? int64_t(grid[1]) * grid[2] : n;
    const int64_t whole = c.window_rows() ? c.window_rows() : n;
    const int64_t step  = grid ? std::max<int64_t>(1, run_rows / frame) * frame : whole;
    key.which           = !grid && n > step;
    for (int64_t at = 0; at < n; at += step) {
        key.n = int32_t(std::min(step, n - at));
        const int64_t to = at ? c.n_rows_out(at) : 0, n_to = c.n_rows_out(at + key.n) - to;
        std::vector<std::string> names{"rows_out"};
        for (int32_t i = 0; i < info.n_deepstack; i++) {
            names.push_back("deepstack." + std::to_string(i));
        }
        std::vector<fetch> wanted;
        for (size_t i = 0; i < names.size(); i++) {
            float * level = out + (int64_t(i) * n_out + to) * info.n_hidden;
            wanted.push_back({names[i].c_str(), level, size_t(n_to * info.n_hidden) * sizeof(float)});
        }
        s.run(key, {{"rows", in + at * info.n_embd, size_t(int64_t(key.n) * info.n_embd) * sizeof(float)}}, wanted);
    }
    return n_out;
}

} // namespace omni
