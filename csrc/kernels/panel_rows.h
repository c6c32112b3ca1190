// How quantised rows of a matrix become a panel, without intrinsics: over the vectors V of an instruction set, each of which
// compiles it for itself. Columns of a panel come from 16 bytes of each row, four numbers (or packed, eight) a row.
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

} // namespace
