// The same products for few rows of x, where unpacking a panel would cost more than it saves: whole vectors of a row are
// multiplied, and the integers of all rows summed up side by side. The scales go in as in a tile, so the bits are the same.
#pragma once

#include "kernels/panel_rows.h"

namespace {

template <class V, long BYTES> void fetch_all(const char * p) {
    for (long i = 0; i < BYTES; i += 64) {
        V::fetch(p + i);
    }
}

// Vectors of a row's numbers as its type packs them; n of them make a group, of blocks b to b + blocks - 1. place() is the
// block in the group of the part p of a vector v; the halves of a vector meet numbers of x that are `apart`.
template <class V> struct q8_0_vectors {
    static constexpr long n = 1, parts = V::lanes / 8, blocks = parts, apart = 32;
    static long place(long, long p) { return p; }
    static typename V::vi numbers(const char * row, long b, long, bool last) {
        const char * at = row + b * 34 + 2;
        return V::as_stored(V::bytes(at, last ? at : at + 34));
    }
    static void fetch(const char * row, long b) { fetch_all<V, blocks * 34>(row + b * 34); }
};

template <class V, bool TABLE> struct nibble_vectors {
    static constexpr long n = 1, parts = V::lanes / 8, blocks = parts, apart = 32;
    static long place(long, long p) { return p; }
    static typename V::vi numbers(const char * row, long b, long, bool last) {
        const char * at = row + b * 18 + 2;
        const typename V::vi v = V::low_bits(V::nibbles(at, last ? at : at + 18), 15);
        return TABLE ? V::as_stored(V::iq4_nl(v)) : v;
    }
    static void fetch(const char * row, long b) { fetch_all<V, blocks * 18>(row + b * 18); }
};

template <class V, bool FIVE> struct q45_k_vectors {  // 32 bytes hold a block and in their high nibbles the next
    static constexpr long n = 2, parts = V::lanes / 8, blocks = 2 * parts, apart = 64;
    static long place(long v, long p) { return 2 * p + v; }
    static typename V::vi numbers(const char * row, long b, long v, bool) {
        const char * unit = row + b / 8 * (FIVE ? 176 : 144), * at = unit + (FIVE ? 48 : 16) + b % 8 * 16;
        const typename V::vi low = V::low_bits(V::right(V::bytes(at, at + 32), int(4 * v)), 15);
        return FIVE ? V::either(low, V::high_bits(unit + 16, int(b % 8 + v), int(b % 8 + v + 2), 1)) : low;
    }
    static void fetch(const char * row, long b) { fetch_all<V, (FIVE ? 176 : 144) * blocks / 8>(row + b / 8 * (FIVE ? 176 : 144) + b % 8 * 16); }
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
    static void fetch(const char * row, long b) { fetch_all<V, 105>(row + b / 16 * 210 + b / 8 % 2 * 105); }
};

template <class V, int TYPE, class T, bool SIGNED, long N>
void few_tile(const weight_rows & rows, int64_t n_in, const char * x, size_t x_stride, float * y, int64_t y_stride, long n_out) {
    using vf = typename V::vf;
    using vi = typename V::vi;
    const omni::panel_format f = omni::panel_format_of(TYPE);
    const form shape(f, n_in);
    constexpr bool minima = TYPE == GGML_TYPE_Q4_K || TYPE == GGML_TYPE_Q5_K, whole = minima || TYPE == GGML_TYPE_Q6_K;  // groups
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
        if (minima && b % per_unit == 0) {
            vi head[4];
            V::columns(rows, b / per_unit * (TYPE == GGML_TYPE_Q4_K ? 144 : 176), head);
            scales_k<V>(head, scale, least);
        } else if (TYPE == GGML_TYPE_Q6_K && b % per_unit == 0) {
            scales_q6_k<V>(rows, b / per_unit * 210, scale);
        }
#pragma GCC unroll 8
        for (long k = 0; k < T::blocks; k++) {
            if (!whole && k > 0 && b + k == shape.n) {
                break;
            }
            const bool halves = TYPE == GGML_TYPE_Q8_0 || TYPE == GGML_TYPE_Q4_0 || TYPE == GGML_TYPE_IQ4_NL;
            const vf d = halves ? V::halves(rows, (b + k) * (TYPE == GGML_TYPE_Q8_0 ? 34 : 18)) : V::load(scale + (b + k) % per_unit * V::lanes);
#pragma GCC unroll 4
            for (long i = 0; i < N; i++) {
                const char * of = x + size_t(i) * x_stride + shape.tail + (b + k) * 4;
                const vi sum = V::add(sums[i][k], V::spread_int(of + shape.n * 4));
                acc[i] = V::fma(V::to_float(sum), V::mul(d, V::spread(of)), acc[i]);
                if (minima) {
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

} // namespace
