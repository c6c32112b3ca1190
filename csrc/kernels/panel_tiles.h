// Panels times tiles of x, in registers, and the rows of x for them.
#pragma once

#include "kernels/panel_few.h"

namespace {

struct tile_job {
    const char * x;      // the chunk's numbers of the first row
    const char * block;  // and its first block
    size_t  x_stride;
    int64_t n;           // blocks of a whole row
    long    n_blocks;    // of this chunk
    float * y;
    int64_t y_stride;
    long    n_out;
    bool    first;       // of the chunks
};

// sum[r] += the products of a block's numbers, four of each output at a time.
template <class V, long R, long G, bool SIGNED>
[[gnu::always_inline]] inline void multiply_block(const uint8_t * w, const char * x, size_t x_stride, typename V::vi (&sum)[R]) {
#pragma GCC unroll 8
    for (long g = 0; g < G; g++, w += V::lanes * 4, x += 4) {
        const typename V::template weights<SIGNED> wg(V::load(w));
#pragma GCC unroll 16
        for (long r = 0; r < R; r++) {
            sum[r] = wg.dot(sum[r], V::spread_int(x + size_t(r) * x_stride));
        }
    }
}

template <class V, long R, long G, bool MINIMA, bool SIGNED> void tile(const panel<V> & p, const tile_job & t) {
    using vf = typename V::vf;
    using vi = typename V::vi;
    vf acc[R];
#pragma GCC unroll 16
    for (long r = 0; r < R; r++) {
        acc[r] = t.first ? V::zero() : V::load_part(t.y + r * t.y_stride, t.n_out);
    }
    const uint8_t * w = p.q;
    const char * x = t.x, * at = t.block;
    for (long b = 0; b < t.n_blocks; b++, at += 4) {
        vi sum[R];
#pragma GCC unroll 16
        for (long r = 0; r < R; r++) {
            sum[r] = V::spread_int(at + size_t(r) * t.x_stride + t.n * 4);
        }
        if constexpr (V::own_products) {
            V::template multiply<R, G>(w, x, t.x_stride, sum);
        } else {
            multiply_block<V, R, G, SIGNED>(w, x, t.x_stride, sum);
        }
        w += G * V::lanes * 4;
        x += G * 4;
        const vf scale = V::load(p.scale + b * V::lanes);
#pragma GCC unroll 16
        for (long r = 0; r < R; r++) {
            acc[r] = V::fma(V::to_float(sum[r]), V::mul(scale, V::spread(at + size_t(r) * t.x_stride)), acc[r]);
        }
        if (MINIMA) {
            const vf least = V::load(p.least + b * V::lanes);
#pragma GCC unroll 16
            for (long r = 0; r < R; r++) {
                acc[r] = V::fma(least, V::spread(at + size_t(r) * t.x_stride + t.n * 8), acc[r]);
            }
        }
    }
#pragma GCC unroll 16
    for (long r = 0; r < R; r++) {
        V::store_part(t.y + r * t.y_stride, acc[r], t.n_out);
    }
}

template <class V> using tile_fn = void (*)(const panel<V> &, const tile_job &);

// n, or 1 where tiles are not that high.
template <class V> constexpr long rows_of(long n) { return n <= V::max_rows ? n : 1; }

template <class V, long G, bool MINIMA, bool SIGNED> tile_fn<V> tile_of(long n) {
    static const tile_fn<V> by_rows[] = {
        tile<V, 1, G, MINIMA, SIGNED>, tile<V, 2, G, MINIMA, SIGNED>, tile<V, 3, G, MINIMA, SIGNED>, tile<V, 4, G, MINIMA, SIGNED>,
        tile<V, rows_of<V>(5), G, MINIMA, SIGNED>, tile<V, rows_of<V>(6), G, MINIMA, SIGNED>, tile<V, rows_of<V>(7), G, MINIMA, SIGNED>,
        tile<V, rows_of<V>(8), G, MINIMA, SIGNED>, tile<V, rows_of<V>(9), G, MINIMA, SIGNED>, tile<V, rows_of<V>(10), G, MINIMA, SIGNED>,
        tile<V, rows_of<V>(11), G, MINIMA, SIGNED>, tile<V, rows_of<V>(12), G, MINIMA, SIGNED>};
    return by_rows[n - 1];
}

// --- the whole product, and x ----------------------------------------------------------------------------------------

template <class V, int TYPE, long G, bool MINIMA, bool SIGNED>
void multiply(int32_t, const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, int64_t n_x, float * y,
              int64_t y_stride) {
    const omni::panel_format f = omni::panel_format_of(TYPE);
    const form shape(f, n_in);
    const long n_tiles = long(n_x + V::max_rows - 1) / V::max_rows;
    panel<V> p;
    if (n_x <= V::few) {
        return few_rows<V, TYPE, SIGNED && !V::unsigned_only>(w, w_stride, n_rows, n_in, x, x_stride, n_x, y, y_stride);
    }
    for (long r0 = 0; r0 < n_rows; r0 += V::lanes) {
        const long n_out = n_rows - r0 < V::lanes ? long(n_rows) - r0 : V::lanes;
        const weight_rows rows(w + size_t(r0) * w_stride, w_stride, n_out, V::lanes);
        for (long k = 0; k < n_in; k += chunk) {
            const long n = n_in - k < chunk ? long(n_in) - k : chunk;
            unpack<V, TYPE>(rows, k, n, p);
            for (long t = 0, i = 0; t < n_tiles; t++) {  // tiles of nearly the same height
                const long next = long(n_x) * (t + 1) / n_tiles;
                const char * xi = x + size_t(i) * x_stride;
                const tile_job job{xi + k,           xi + shape.tail + k / f.block * 4, x_stride, shape.n, n / f.block,
                                   y + i * y_stride + r0, y_stride,                     n_out,    k == 0};
                tile_of<V, G, MINIMA, SIGNED && !V::unsigned_only>(next - i)(p, job);
                i = next;
            }
        }
    }
}

size_t form_bytes(int32_t type, int64_t n_in) { return form(omni::panel_format_of(type), n_in).bytes(); }

template <class V> void ready(int32_t type, const float * x, int64_t n_in, char * out) {
    const omni::panel_format f = omni::panel_format_of(type);
    const form shape(f, n_in);
    const int32_t zero = f.is_signed ? (V::unsigned_only ? 128 : 0) : f.zero;
    float * scale = reinterpret_cast<float *>(out + shape.tail);
    int32_t * fix = reinterpret_cast<int32_t *>(scale + shape.n);
    float * sums  = scale + 2 * shape.n;
    int64_t b = 0;
    for (int64_t u = 0; u < n_in; u += f.unit) {
        float d, inverse;
        if (V::none_in(x + u, f.unit)) {  // the product is none either
            inverse = 0.0f;
            d       = omni::no_number;
        } else if (f.unit == 32) {
            const float top = V::top_32(x + u);
            inverse = top > 0.0f ? 127.0f / top : 0.0f;
            d       = V::to_half_and_back(top / 127.0f);  // a half, in ggml's blocks
        } else {
            float high, low;
            V::range(x + u, f.unit, &high, &low);
            const float most = -low > high ? low : high;  // what lies furthest from zero becomes -127
            inverse = most != 0.0f ? -127.0f / most : 0.0f;
            d       = most != 0.0f ? 1.0f / inverse : 0.0f;
        }
        for (int64_t i = u; i < u + f.unit; i += f.block, b++) {
            const int32_t sum = f.block == 32 ? V::template round_all<2>(x + i, inverse, out + i) : V::template round_all<1>(x + i, inverse, out + i);
            scale[b] = d;
            fix[b]   = -zero * sum;
            sums[b]  = -d * float(sum);
        }
    }
}

template <class V> omni::matvec panel_matvec(int32_t type) {
    const omni::panel_format f = omni::panel_format_of(type);
    omni::matvec m = {type, f.unit, form_bytes, ready<V>, nullptr};
    m.lanes = V::lanes;
    switch (type) {
        case GGML_TYPE_Q8_0:   m.multiply = multiply<V, GGML_TYPE_Q8_0, 8, false, true>; break;
        case GGML_TYPE_Q4_0:   m.multiply = multiply<V, GGML_TYPE_Q4_0, 8, false, false>; break;
        case GGML_TYPE_IQ4_NL: m.multiply = multiply<V, GGML_TYPE_IQ4_NL, 8, false, true>; break;
        case GGML_TYPE_Q4_K:   m.multiply = multiply<V, GGML_TYPE_Q4_K, 8, true, false>; break;
        case GGML_TYPE_Q5_K:   m.multiply = multiply<V, GGML_TYPE_Q5_K, 8, true, false>; break;
        case GGML_TYPE_Q6_K:   m.multiply = multiply<V, GGML_TYPE_Q6_K, 4, false, false>; break;
    }
    return m;
}

} // namespace
