// Panels and tiles without intrinsics, over the vectors of an instruction set: each compiles it for itself.
#pragma once

#include "kernels/panel.h"

#include "ggml.h"

namespace {

// A ready row: its numbers, then for each block a scale, what corrects for zero, and minus scale * sum.
struct form {
    int64_t tail, n;  // where the blocks' part begins, and how many there are

    form(const omni::panel_format & f, int64_t n_in) : tail((n_in + 63) / 64 * 64), n(n_in / f.block) {}
    size_t bytes() const { return size_t(tail + n * 12); }
};

constexpr long chunk = 1024;  // numbers of a row that are unpacked at once: a panel and a tile's rows stay in the first cache

template <class V> struct panel {
    alignas(64) uint8_t q[chunk * V::lanes];           // [numbers / 4][lanes][4]
    alignas(64) float   scale[chunk / 16 * V::lanes];  // [blocks][lanes]
    alignas(64) float   least[chunk / 32 * V::lanes];
};

// Rows of the matrix, the last one again where there are less than lanes.
struct weight_rows {
    const char * row[16];
    size_t       step;  // to the same row of the next panel

    weight_rows(const char * w, size_t stride, long n, long lanes) : step(size_t(lanes) * stride) {
        for (long r = 0; r < 16; r++) {
            row[r] = w + size_t(r < n ? r : n - 1) * stride;
        }
    }
};

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
#pragma GCC unroll 8
        for (long g = 0; g < G; g++, w += V::lanes * 4, x += 4) {
            const typename V::template weights<SIGNED> wg(V::load(w));
#pragma GCC unroll 16
            for (long r = 0; r < R; r++) {
                sum[r] = wg.dot(sum[r], V::spread_int(x + size_t(r) * t.x_stride));
            }
        }
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

template <class V, long G, bool MINIMA, bool SIGNED> tile_fn<V> tile_of(long n) {
    static const tile_fn<V> by_rows[] = {
        tile<V, 1, G, MINIMA, SIGNED>, tile<V, 2, G, MINIMA, SIGNED>, tile<V, 3, G, MINIMA, SIGNED>, tile<V, 4, G, MINIMA, SIGNED>,
        tile<V, V::more ? 5 : 1, G, MINIMA, SIGNED>, tile<V, V::more ? 6 : 1, G, MINIMA, SIGNED>, tile<V, V::more ? 7 : 1, G, MINIMA, SIGNED>,
        tile<V, V::more ? 8 : 1, G, MINIMA, SIGNED>, tile<V, V::more ? 9 : 1, G, MINIMA, SIGNED>, tile<V, V::more ? 10 : 1, G, MINIMA, SIGNED>,
        tile<V, V::more ? 11 : 1, G, MINIMA, SIGNED>, tile<V, V::more ? 12 : 1, G, MINIMA, SIGNED>};
    return by_rows[n - 1];
}

// --- unpacking: columns of four numbers from 16 bytes of each row ----------------------------------------------------

// Q4_K and Q5_K: scales and minima of 6 bits, out of the first 16 bytes of a superblock.
template <class V> void scales_k(const typename V::vi * head, float * scale, float * least) {
    const auto d = V::low_half(head[0]), least_d = V::low_half(V::right(head[0], 16));
    const auto up = [](typename V::vi v) { return V::left(V::low_bits(V::right(v, 6), 3), 4); };
    const typename V::vi s[2] = {V::low_bits(head[1], 63), V::either(V::low_bits(head[3], 15), up(head[1]))};
    const typename V::vi m[2] = {V::low_bits(head[2], 63), V::either(V::low_bits(V::right(head[3], 4), 15), up(head[2]))};
    for (long b = 0; b < 8; b++) {
        V::store(scale + b * V::lanes, V::mul(d, V::to_float(V::byte(s[b / 4], b % 4))));
        V::store(least + b * V::lanes, V::mul(least_d, V::to_float(V::byte(m[b / 4], b % 4))));
    }
}

// Q6_K: a scale for each 16.
template <class V> void scales_q6_k(const weight_rows & rows, long at, float * scale) {
    typename V::vi s[4];
    V::columns(rows, at + 192, s);
    const auto d = V::halves(rows, at + 208);
    for (long b = 0; b < 16; b++) {
        V::store(scale + b * V::lanes, V::mul(d, V::to_float(V::signed_byte(s[b / 4], b % 4))));
    }
}

template <class V> struct unpacker {
    using vf = typename V::vf;
    using vi = typename V::vi;

    const weight_rows & rows;
    panel<V> & to;

    void put(long column, vi v) const { V::store(to.q + column * V::lanes * 4, v); }
    void ahead(long at, long n) const {  // the same of the panel behind this one
        for (long r = 0; r < V::lanes; r++) {
            const char * p = rows.row[r] + rows.step + at;
            for (long i = 0; i < n; i += 64) {
                V::fetch(p + i);
            }
        }
    }

    void q8_0(long first, long n) const {
        for (long b = 0; b < n / 32; b++) {
            const long at = (first / 32 + b) * 34;
            if (b % 2 == 0) {
                ahead(at, 64);
            }
            for (long h = 0; h < 2; h++) {
                vi c[4];
                V::columns(rows, at + 2 + h * 16, c);
                for (long i = 0; i < 4; i++) {
                    put(b * 8 + h * 4 + i, V::as_stored(c[i]));
                }
            }
            V::store(to.scale + b * V::lanes, V::halves(rows, at));
        }
    }

    template <bool TABLE> void nibbles(long first, long n) const {  // Q4_0, and IQ4_NL with its table of numbers
        for (long b = 0; b < n / 32; b++) {
            const long at = (first / 32 + b) * 18;
            if (b % 4 == 0) {
                ahead(at, 64);
            }
            vi c[4];
            V::columns(rows, at + 2, c);
            for (long i = 0; i < 4; i++) {
                const vi low = V::low_bits(c[i], 0x0f), high = V::low_bits(V::right(c[i], 4), 0x0f);
                put(b * 8 + i, TABLE ? V::as_stored(V::iq4_nl(low)) : low);
                put(b * 8 + 4 + i, TABLE ? V::as_stored(V::iq4_nl(high)) : high);
            }
            V::store(to.scale + b * V::lanes, V::halves(rows, at));
        }
    }

    template <bool FIVE> void q45_k(long first, long n) const {
        const long bytes = FIVE ? 176 : 144;
        for (long s = 0; s < n / 256; s++) {
            const long at = (first / 256 + s) * bytes;
            ahead(at, bytes);
            vi head[4], high[8] = {}, c[4];
            V::columns(rows, at, head);
            if (FIVE) {
                V::columns(rows, at + 16, high);
                V::columns(rows, at + 32, high + 4);
            }
            for (long i = 0; i < 8; i++) {  // 16 bytes are half of one block, and in their high nibbles of the next
                V::columns(rows, at + (FIVE ? 48 : 16) + i * 16, c);
                for (long k = 0; k < 4; k++) {
                    vi low = V::low_bits(c[k], 0x0f), up = V::low_bits(V::right(c[k], 4), 0x0f);
                    if (FIVE) {
                        const vi h = high[i % 2 * 4 + k];
                        low = V::either(low, V::left(V::low_bits(V::right(h, i / 2 * 2), 1), 4));
                        up  = V::either(up, V::left(V::low_bits(V::right(h, i / 2 * 2 + 1), 1), 4));
                    }
                    const long column = s * 64 + i / 2 * 16 + i % 2 * 4 + k;
                    put(column, low);
                    put(column + 8, up);
                }
            }
            scales_k<V>(head, to.scale + s * 8 * V::lanes, to.least + s * 8 * V::lanes);
        }
    }

    void q6_k(long first, long n) const {
        for (long s = 0; s < n / 256; s++) {
            const long at = (first / 256 + s) * 210;
            ahead(at, 210);
            for (long i = 0; i < 4; i++) {  // 16 bytes of two bits: of blocks 0 2 4 6, then 1 3 5 7 of each half
                vi two[4], c[2][4];
                const long half = i / 2, odd = i % 2;
                V::columns(rows, at + 128 + i * 16, two);
                V::columns(rows, at + half * 64 + odd * 16, c[0]);
                V::columns(rows, at + half * 64 + 32 + odd * 16, c[1]);
                for (long q = 0; q < 4; q++) {
                    for (long k = 0; k < 4; k++) {
                        const vi low = V::low_bits(q < 2 ? c[q][k] : V::right(c[q - 2][k], 4), 0x0f);
                        const vi up  = V::left(V::low_bits(V::right(two[k], 2 * q), 3), 4);
                        put(s * 64 + half * 32 + q * 8 + odd * 4 + k, V::either(low, up));
                    }
                }
            }
            scales_q6_k<V>(rows, at, to.scale + s * 16 * V::lanes);
        }
    }
};

template <class V, int TYPE> void unpack(const weight_rows & rows, long first, long n, panel<V> & to) {
    const unpacker<V> u{rows, to};
    switch (TYPE) {
        case GGML_TYPE_Q8_0:   return u.q8_0(first, n);
        case GGML_TYPE_Q4_0:   return u.template nibbles<false>(first, n);
        case GGML_TYPE_IQ4_NL: return u.template nibbles<true>(first, n);
        case GGML_TYPE_Q4_K:   return u.template q45_k<false>(first, n);
        case GGML_TYPE_Q5_K:   return u.template q45_k<true>(first, n);
        case GGML_TYPE_Q6_K:   return u.q6_k(first, n);
    }
}

// --- few rows of x: the sums of whole vectors of a row, without a panel -----------------------------------------------

// Vectors of a row's numbers as its type packs them; n of them make a group, of blocks b to b + blocks - 1. place() is the
// block in the group of the part p of a vector v; the halves of a vector meet numbers of x that are `apart`.
template <class V> struct q8_0_vectors {
    static constexpr long n = 1, parts = V::lanes / 8, blocks = parts, apart = 32;
    static long place(long, long p) { return p; }
    static typename V::vi numbers(const char * row, long b, long, bool last) {
        const char * at = row + b * 34 + 2;
        return V::as_stored(V::bytes(at, last ? at : at + 34));
    }
    static void fetch(const char * row, long b) { V::fetch(row + b * 34); }
};

template <class V, bool TABLE> struct nibble_vectors {
    static constexpr long n = 1, parts = V::lanes / 8, blocks = parts, apart = 32;
    static long place(long, long p) { return p; }
    static typename V::vi numbers(const char * row, long b, long, bool last) {
        const char * at = row + b * 18 + 2;
        const typename V::vi v = V::low_bits(V::nibbles(at, last ? at : at + 18), 15);
        return TABLE ? V::as_stored(V::iq4_nl(v)) : v;
    }
    static void fetch(const char * row, long b) { V::fetch(row + b * 18); }
};

template <class V, bool FIVE> struct q45_k_vectors {  // 32 bytes hold a block and in their high nibbles the next
    static constexpr long n = 2, parts = V::lanes / 8, blocks = 2 * parts, apart = 64;
    static long place(long v, long p) { return 2 * p + v; }
    static typename V::vi numbers(const char * row, long b, long v, bool) {
        const char * unit = row + b / 8 * (FIVE ? 176 : 144), * at = unit + (FIVE ? 48 : 16) + b % 8 * 16;
        const typename V::vi low = V::low_bits(V::right(V::bytes(at, at + 32), int(4 * v)), 15);
        return FIVE ? V::either(low, V::high_bits(unit + 16, int(b % 8 + v), int(b % 8 + v + 2), 1)) : low;
    }
    static void fetch(const char * row, long b) { V::fetch(row + b / 8 * (FIVE ? 176 : 144) + b % 8 * 16); }
};

template <class V> struct q6_k_vectors {  // blocks of 16; half a superblock is a group
    static constexpr long n = 32 / V::lanes, parts = V::lanes / 4, blocks = 8, apart = 32;
    static long place(long v, long p) { return v * parts + p; }
    static typename V::vi numbers(const char * row, long b, long v, bool) {
        const char * unit = row + b / 16 * 210;
        const long half = b / 8 % 2, quarter = v * parts / 2;
        const char * at = unit + half * 64 + quarter % 2 * 32;
        const typename V::vi low = V::low_bits(V::right(V::bytes(at, at + 32), int(quarter / 2 * 4)), 15);
        return V::either(low, V::high_bits(unit + 128 + half * 32, int(2 * quarter), int(2 * quarter + 2), 3));
    }
    static void fetch(const char * row, long b) { V::fetch(row + b / 16 * 210 + b / 8 % 2 * 105); }
};

template <class V, int TYPE, class T, bool SIGNED, long N>
void few_tile(const weight_rows & rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride, long n_out) {
    using vf = typename V::vf;
    using vi = typename V::vi;
    const omni::panel_format f = omni::panel_format_of(TYPE);
    const form shape(f, n_in);
    constexpr long block = TYPE == GGML_TYPE_Q6_K ? 16 : 32, per_unit = 256 / block;
    alignas(64) float scale[16 * V::lanes], least[8 * V::lanes];
    vf acc[N];
#pragma GCC unroll 4
    for (long i = 0; i < N; i++) {
        acc[i] = V::zero();
    }
    for (long b = 0; b < shape.n; b += T::blocks) {
        const bool last = b + 1 == shape.n;
        vi sums[N][T::blocks];
#pragma GCC unroll 4
        for (long v = 0; v < T::n; v++) {
            vi xv[N], q[N][V::lanes / 4];
#pragma GCC unroll 4
            for (long i = 0; i < N; i++) {
                const char * at = x + size_t(i) * x_stride + (b + T::place(v, 0)) * block;
                xv[i] = V::bytes(at, at + T::apart);
            }
#pragma GCC unroll 4
            for (long j = 0; j < V::lanes / 4; j++) {
                vi s[N][4];
#pragma GCC unroll 4
                for (long k = 0; k < 4; k++) {
                    const char * row = rows.row[4 * j + k];
                    const typename V::template weights<SIGNED> w(T::numbers(row, b, v, last));
#pragma GCC unroll 4
                    for (long i = 0; i < N; i++) {
                        s[i][k] = w.dot(V::zero_int(), xv[i]);
                    }
                    if (v == 0) {
                        T::fetch(row + rows.step, b);
                    }
                }
#pragma GCC unroll 4
                for (long i = 0; i < N; i++) {
                    q[i][j] = V::four_sums(s[i]);
                }
            }
#pragma GCC unroll 4
            for (long i = 0; i < N; i++) {
                vi parts[T::parts];
                V::template all_sums<T::parts>(q[i], parts);
#pragma GCC unroll 4
                for (long p = 0; p < T::parts; p++) {
                    sums[i][T::place(v, p)] = parts[p];
                }
            }
        }
        if ((TYPE == GGML_TYPE_Q4_K || TYPE == GGML_TYPE_Q5_K) && b % per_unit == 0) {
            vi head[4];
            V::columns(rows, b / per_unit * (TYPE == GGML_TYPE_Q4_K ? 144 : 176), head);
            scales_k<V>(head, scale, least);
        } else if (TYPE == GGML_TYPE_Q6_K && b % per_unit == 0) {
            scales_q6_k<V>(rows, b / per_unit * 210, scale);
        }
#pragma GCC unroll 8
        for (long k = 0; k < T::blocks; k++) {
            if (k > 0 && b + k == shape.n) {
                break;
            }
            const bool halves = TYPE == GGML_TYPE_Q8_0 || TYPE == GGML_TYPE_Q4_0 || TYPE == GGML_TYPE_IQ4_NL;
            const vf d = halves ? V::halves(rows, (b + k) * (TYPE == GGML_TYPE_Q8_0 ? 34 : 18)) : V::load(scale + (b + k) % per_unit * V::lanes);
#pragma GCC unroll 4
            for (long i = 0; i < N; i++) {
                const char * of = x + size_t(i) * x_stride + shape.tail + (b + k) * 4;
                const vi sum = V::add(sums[i][k], V::spread_int(of + shape.n * 4));
                acc[i] = V::fma(V::to_float(sum), V::mul(d, V::spread(of)), acc[i]);
                if (f.minima) {
                    acc[i] = V::fma(V::load(least + (b + k) % per_unit * V::lanes), V::spread(of + shape.n * 8), acc[i]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (long i = 0; i < N; i++) {
        V::store_part(y + i * y_stride, acc[i], n_out);
    }
}

template <class V, int TYPE> struct vectors_of;
template <class V> struct vectors_of<V, GGML_TYPE_Q8_0> : q8_0_vectors<V> {};
template <class V> struct vectors_of<V, GGML_TYPE_Q4_0> : nibble_vectors<V, false> {};
template <class V> struct vectors_of<V, GGML_TYPE_IQ4_NL> : nibble_vectors<V, true> {};
template <class V> struct vectors_of<V, GGML_TYPE_Q4_K> : q45_k_vectors<V, false> {};
template <class V> struct vectors_of<V, GGML_TYPE_Q5_K> : q45_k_vectors<V, true> {};
template <class V> struct vectors_of<V, GGML_TYPE_Q6_K> : q6_k_vectors<V> {};

template <class V, int TYPE, bool SIGNED>
void few_rows(const char * w, size_t w_stride, int64_t n_rows, int64_t n_in, const char * x, size_t x_stride, int64_t n_x, float * y,
              int64_t y_stride) {
    using T = vectors_of<V, TYPE>;
    for (long r0 = 0; r0 < n_rows; r0 += V::lanes) {
        const long n_out = n_rows - r0 < V::lanes ? long(n_rows) - r0 : V::lanes;
        const weight_rows rows(w + size_t(r0) * w_stride, w_stride, n_out, V::lanes);
        (n_x == 1 ? few_tile<V, TYPE, T, SIGNED, 1> : few_tile<V, TYPE, T, SIGNED, 2>)(rows, n_in, x, x_stride, y + r0, y_stride, n_out);
    }
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
        float high, low;
        V::range(x + u, f.unit, &high, &low);
        float d, inverse;
        if (f.unit == 32) {
            const float top = -low > high ? -low : high;
            inverse = top > 0.0f ? 127.0f / top : 0.0f;
            d       = V::to_half_and_back(top / 127.0f);  // a half, in ggml's blocks
        } else {
            const float most = -low > high ? low : high;  // what lies furthest from zero becomes -127
            inverse = most != 0.0f ? -127.0f / most : 0.0f;
            d       = most != 0.0f ? 1.0f / inverse : 0.0f;
        }
        for (int64_t i = u; i < u + f.unit; i += f.block, b++) {
            int32_t sum = 0;
            for (int64_t k = i; k < i + f.block; k += 16) {
                sum += V::round_16(x + k, inverse, out + k);
            }
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
