#include "kernels/conv_run.h"

#include "core/pages.h"
#include "kernels/cpu.h"
#include "kernels/x86.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace omni {

const conv_kernels * conv_exact() {
    switch (cpu_kernels()) {
        case cpu_variant::avx512_bf16:
        case cpu_variant::avx512: return conv_avx512 ? conv_avx512 : conv_scalar;
        case cpu_variant::avx2:   return conv_avx2 ? conv_avx2 : conv_scalar;
        case cpu_variant::neon_i8mm:
        case cpu_variant::neon_dotprod:
        case cpu_variant::neon:   return conv_neon ? conv_neon : conv_scalar;
        case cpu_variant::scalar: break;
    }
    return conv_scalar;
}

[[maybe_unused]] static bool tiles_are_off() {
    const char * asked = std::getenv("PYOMNI_CPU_AMX");
    return asked && std::strcmp(asked, "0") == 0;
}

// Without tiles, only where a bfloat16 product takes no longer than the two of F32 it stands for: on Intel's it takes twice
// that (measured on model 207). $PYOMNI_CPU_AMX=0, which is for who compares, takes it anyway.
const conv_kernels * conv_fast() {
    if (cpu_kernels() != cpu_variant::avx512_bf16) {
        return nullptr;
    }
    static const bool tiles = conv_amx && !tiles_are_off() && x86_tiles();
    static const bool slow  = x86_is_intel() && !tiles_are_off();
    return tiles ? conv_amx : slow ? nullptr : conv_avx512_bf16;
}

conv_panels::conv_panels(const conv_kernels * kernels, int64_t n_in, int64_t n_taps, int64_t n_out)
    : kernels(kernels), n_in(n_in), n_taps(n_taps), n_out(n_out) {
    const int64_t per_cell = kernels->bf16 ? 32 : 16;
    n_blocks    = (n_in + per_cell - 1) / per_cell;
    piece_bytes = kernels->width * conv_cell_bytes;
    const size_t n = size_t(n_bytes()), alignment = n >= huge_page ? huge_page : 64;
    owned_.reset(new char[n + alignment]);
    data_ = owned_.get() + (alignment - reinterpret_cast<uintptr_t>(owned_.get()) % alignment) % alignment;
    prefer_huge_pages(data_, n);
    std::memset(data_, 0, n);
}

static uint16_t to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return uint16_t(bits >> 16 | 0x40);
    }
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void conv_panels::put(int64_t o, int64_t k, const float * const * rows, int64_t n) {
    const int64_t width = kernels->width, step = 16;  // what is written at a time stays in the first cache
    char * panel = data_ + o / width * panel_bytes() + k * n_blocks * piece_bytes;
    for (int64_t from = 0; from < n_in; from += step) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t i = from; i < std::min(n_in, from + step); i++) {
                if (kernels->bf16) {  // pairs of channels together
                    reinterpret_cast<uint16_t *>(panel)[(i / 2 * width + j) * 2 + i % 2] = to_bf16(rows[j][i]);
                } else {
                    reinterpret_cast<float *>(panel)[i * width + j] = rows[j][i];
                }
            }
        }
    }
}

namespace {

// A block of cells stays in the second cache, the pieces of a panel that it meets at a time in the first.
constexpr int64_t max_cells_bytes = 512 << 10, max_pieces_bytes = 24 << 10, max_rows = 128, chunks_per_thread = 6;

// How the output rows are cut, and how a block of them lies in cells: all the rows it sees, or each tap's on their own.
struct layout {
    int64_t n_blocks, block_rows, n_cell_rows;
    bool    apart;

    explicit layout(const conv_run & r) {
        const int64_t row_bytes = r.w->n_blocks * conv_cell_bytes, reach = (r.w->n_taps - 1) * r.dilation;
        const int64_t fits = max_cells_bytes / row_bytes;
        block_rows = std::clamp<int64_t>(fits - reach, 32, max_rows);
        block_rows = std::min(block_rows, std::max<int64_t>(r.n_out_rows, 1));
        n_blocks   = (r.n_out_rows + block_rows - 1) / block_rows;
        block_rows = n_blocks ? (r.n_out_rows + n_blocks - 1) / n_blocks : block_rows;
        apart      = r.stride != 1 || r.w->n_taps * block_rows < block_rows + reach;
        n_cell_rows = (apart ? r.w->n_taps * block_rows : block_rows + reach) + r.w->kernels->spare_rows;
    }

    int64_t tap_row(const conv_run & r, int64_t k) const { return k * (apart ? block_rows : r.dilation); }
};

struct worker {
    const conv_run & r;
    const layout     at;
    char *           cells;
    float *          sums;
    const int64_t *  tap_bytes;
    int64_t packed = -1;  // the block whose rows are in the cells

    void pack_row(int64_t seen, int64_t cell_row) const {
        char * to = cells + cell_row * conv_cell_bytes;
        const int64_t n = r.w->n_in, block_bytes = at.n_cell_rows * conv_cell_bytes, t = seen - r.n_past;
        if (t >= 0 && t < r.n_rows) {
            r.w->kernels->pack(to, block_bytes, r.x + t * n, n, r.snake_in);
        } else if (t < 0 && r.past) {
            r.w->kernels->pack(to, block_bytes, r.past + seen * n, n, {});
        } else {
            for (int64_t i = 0; i < r.w->n_blocks; i++) {
                std::memset(to + i * block_bytes, 0, conv_cell_bytes);
            }
        }
    }

    void pack(int64_t block, int64_t first, int64_t n) {
        if (packed == block) {
            return;
        }
        packed = block;
        if (!at.apart) {
            for (int64_t j = 0; j < n + (r.w->n_taps - 1) * r.dilation; j++) {
                pack_row(first + j, j);
            }
            return;
        }
        for (int64_t k = 0; k < r.w->n_taps; k++) {
            for (int64_t j = 0; j < n; j++) {
                pack_row((first + j) * r.stride + k * r.dilation, at.tap_row(r, k) + j);
            }
        }
    }

    void panel(int64_t index, int64_t first, int64_t n) {
        const conv_panels & w = *r.w;
        const int64_t width = w.kernels->width, o = index * width, n_outs = std::min(width, w.n_out - o);
        std::memset(sums, 0, size_t((n + w.kernels->spare_rows) * width) * sizeof(float));
        if (r.carry && first == 0) {
            std::memcpy(sums, r.carry + o, size_t(n_outs) * sizeof(float));
        }
        const int64_t n_cells = w.n_taps * w.n_blocks, step = std::max<int64_t>(max_pieces_bytes / w.piece_bytes, 1);
        for (int64_t q = 0; q < n_cells; q += step) {
            w.kernels->multiply({cells, at.n_cell_rows * conv_cell_bytes, tap_bytes, w.n_blocks, q, std::min(n_cells, q + step),
                                 w.panel(index) + q * w.piece_bytes, sums, n});
        }
        float bias[conv_panels::max_width];
        for (int64_t i = 0; r.bias && i < n_outs; i++) {
            bias[i] = r.bias[(o + i) % r.n_bias];
        }
        const int64_t t = first - r.from;
        const int64_t bare = r.bare_last && t + n == r.n_out_rows ? 1 : 0;
        const conv_snake snake{r.snake_out.a ? r.snake_out.a + o : nullptr, r.snake_out.a ? r.snake_out.b + o : nullptr};
        w.kernels->finish({sums, n - bare, n_outs, r.bias ? bias : nullptr, snake,
                           r.residual ? r.residual + t * w.n_out + o : nullptr, r.out + t * w.n_out + o, w.n_out});
        if (bare) {
            std::memcpy(r.out + (r.n_out_rows - 1) * w.n_out + o, sums + (n - 1) * width, size_t(n_outs) * sizeof(float));
        }
    }
};

} // namespace

// In whole cells, so that what lies behind them is aligned.
static int64_t sums_floats(const conv_run & r, const layout & at) {
    const int64_t per_cell = conv_cell_bytes / int64_t(sizeof(float));
    const int64_t n = (at.block_rows + r.w->kernels->spare_rows) * r.w->kernels->width;
    return (n + per_cell - 1) / per_cell * per_cell;
}

int64_t conv_scratch_floats(const conv_run & r) {
    const layout at(r);
    const int64_t cells = at.n_cell_rows * r.w->n_blocks * conv_cell_bytes / int64_t(sizeof(float));
    return cells + sums_floats(r, at) + r.w->n_taps * 2 + 64;
}

void conv_compute(const conv_run & r, float * scratch, conv_counter & counter, int ith, int nth) {
    (void) ith;
    const conv_panels & w = *r.w;
    const layout at(r);
    char * cells = reinterpret_cast<char *>(scratch);
    cells += (64 - reinterpret_cast<uintptr_t>(cells) % 64) % 64;
    float * sums = reinterpret_cast<float *>(cells + at.n_cell_rows * w.n_blocks * conv_cell_bytes);
    int64_t * tap_bytes = reinterpret_cast<int64_t *>(sums + sums_floats(r, at));
    for (int64_t k = 0; k < w.n_taps; k++) {
        tap_bytes[k] = at.tap_row(r, k) * conv_cell_bytes;
    }
    const int64_t n_groups = std::clamp<int64_t>((chunks_per_thread * nth + at.n_blocks - 1) / at.n_blocks, 1, w.n_panels());
    worker it{r, at, cells, sums, tap_bytes};
    if (w.kernels->begin) {
        w.kernels->begin();
    }
    for (int64_t i; (i = counter.next.fetch_add(1)) < at.n_blocks * n_groups;) {
        const int64_t block = i / n_groups, group = i % n_groups;
        const int64_t first = r.n_out_rows * block / at.n_blocks, last = r.n_out_rows * (block + 1) / at.n_blocks;
        it.pack(block, r.from + first, last - first);
        for (int64_t p = w.n_panels() * group / n_groups; p < w.n_panels() * (group + 1) / n_groups; p++) {
            it.panel(p, r.from + first, last - first);
        }
    }
    if (w.kernels->end) {
        w.kernels->end();
    }
    if (counter.done.fetch_add(1) + 1 == nth) {
        counter.next.store(0);
        counter.done.store(0);
    }
}

} // namespace omni
