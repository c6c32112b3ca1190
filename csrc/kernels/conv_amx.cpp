#include "kernels/conv.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include "kernels/conv_bf16.h"
#include "kernels/conv_narrow.h"

#include <immintrin.h>

namespace {

// Tiles of 16 rows of 64 bytes: 0 to 3 hold sums of 32 rows by 32 outputs, 4 and 5 the rows, 6 and 7 the panel.
constexpr long width = 32, rows = 16;

struct alignas(64) tile_config {
    unsigned char  palette = 1, start_row = 0, reserved[14] = {};
    unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    unsigned char  n_rows[16] = {rows, rows, rows, rows, rows, rows, rows, rows};
};

constexpr tile_config config;  // static: compilers do not see that the instruction reads all of it

void begin() { _tile_loadconfig(&config); }

void end() { _tile_release(); }

void multiply(const omni::conv_product & p) {
    constexpr long sum_bytes = width * 4, panel_bytes = width * 4;  // from a row of a tile to the next
    for (int64_t row = 0; row < p.n_rows; row += 2 * rows) {
        const bool two = row + rows < p.n_rows;
        float * sums = p.sums + row * width;
        _tile_loadd(0, sums, sum_bytes);
        _tile_loadd(1, sums + 16, sum_bytes);
        if (two) {
            _tile_loadd(2, sums + rows * width, sum_bytes);
            _tile_loadd(3, sums + rows * width + 16, sum_bytes);
        }
        cell_walk walk(p, row);
        const char * w = p.panel;
        for (int64_t q = p.first; q < p.last; q++, w += rows * panel_bytes) {
            const char * x = walk.next();
            for (long line = 0; row == 0 && line < rows * panel_bytes; line += 64) {  // as prefetch_walk
                _mm_prefetch(w + (p.last - p.first) * rows * panel_bytes + line, _MM_HINT_T1);
            }
            _tile_loadd(6, w, panel_bytes);
            _tile_loadd(4, x, omni::conv_cell_bytes);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, w + 64, panel_bytes);
            _tile_dpbf16ps(1, 4, 7);
            if (two) {
                _tile_loadd(5, x + rows * omni::conv_cell_bytes, omni::conv_cell_bytes);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, sums, sum_bytes);
        _tile_stored(1, sums + 16, sum_bytes);
        if (two) {
            _tile_stored(2, sums + rows * width, sum_bytes);
            _tile_stored(3, sums + rows * width + 16, sum_bytes);
        }
    }
}

} // namespace

namespace omni {

static const conv_kernels kernels = {"amx", true, width, rows - 1, begin, end, multiply, pack<bf16_cells>, finish<width>, snake_row, &narrow};
const conv_kernels * const conv_amx = &kernels;

} // namespace omni
#else
const omni::conv_kernels * const omni::conv_amx = nullptr;
#endif
