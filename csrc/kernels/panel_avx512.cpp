// Panels of 16 outputs on AVX-512 with VNNI.
#include "kernels/panel.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "kernels/half.h"
#include "kernels/panel_tiles.h"

namespace {

struct v512 {
    using vf = __m512;
    using vi = __m512i;
    static constexpr long lanes = 16, max_rows = 12, few = 2;  // 12 sums, 12 results, weights and scales: 27 of 32 registers
    static constexpr bool unsigned_only = true, own_products = false;

    template <bool> struct weights {
        vi w;
        explicit weights(vi w) : w(w) {}
        vi dot(vi sum, vi x) const { return _mm512_dpbusd_epi32(sum, w, x); }
    };

    static vi spread_int(const char * p) { int32_t v; memcpy(&v, p, 4); return _mm512_set1_epi32(v); }
    static vf spread(const char * p) { float v; memcpy(&v, p, 4); return _mm512_set1_ps(v); }
    static vf zero() { return _mm512_setzero_ps(); }
    static vi zero_int() { return _mm512_setzero_si512(); }
    static vi add(vi a, vi b) { return _mm512_add_epi32(a, b); }
    static vi load(const uint8_t * p) { return _mm512_load_si512(p); }
    static vf load(const float * p) { return _mm512_load_ps(p); }
    static void store(float * p, vf v) { _mm512_store_ps(p, v); }
    static void store(uint8_t * p, vi v) { _mm512_store_si512(p, v); }
    static vf load_part(const float * p, long n) { return _mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p); }
    static void store_part(float * p, vf v, long n) { _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), v); }
    static vf mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
    static vf fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
    static vf to_float(vi v) { return _mm512_cvtepi32_ps(v); }
    static void fetch(const char * p) { _mm_prefetch(p, _MM_HINT_T1); }

    static __m128i piece(const weight_rows & w, long r, long at) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(w.row[r] + at)); }

    static void columns(const weight_rows & w, long at, vi * out) {
        vi z[4];
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            z[j] = _mm512_castsi128_si512(piece(w, j, at));
            z[j] = _mm512_inserti32x4(z[j], piece(w, 4 + j, at), 1);
            z[j] = _mm512_inserti32x4(z[j], piece(w, 8 + j, at), 2);
            z[j] = _mm512_inserti32x4(z[j], piece(w, 12 + j, at), 3);
        }
        const vi a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpackhi_epi32(z[0], z[1]);
        const vi c = _mm512_unpacklo_epi32(z[2], z[3]), d = _mm512_unpackhi_epi32(z[2], z[3]);
        out[0] = _mm512_unpacklo_epi64(a, c);
        out[1] = _mm512_unpackhi_epi64(a, c);
        out[2] = _mm512_unpacklo_epi64(b, d);
        out[3] = _mm512_unpackhi_epi64(b, d);
    }

    static vf halves(const weight_rows & w, long at) {
        alignas(32) uint16_t h[16];
#pragma GCC unroll 16
        for (long r = 0; r < 16; r++) {
            memcpy(&h[r], w.row[r] + at, 2);
        }
        return _mm512_cvtph_ps(_mm256_setr_epi16(short(h[0]), short(h[1]), short(h[2]), short(h[3]), short(h[4]), short(h[5]), short(h[6]),
                                                 short(h[7]), short(h[8]), short(h[9]), short(h[10]), short(h[11]), short(h[12]),
                                                 short(h[13]), short(h[14]), short(h[15])));
    }
    static vf low_half(vi v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

    static vi as_stored(vi v) { return _mm512_xor_si512(v, _mm512_set1_epi8(char(128))); }
    static vi low_bits(vi v, int bits) { return _mm512_and_si512(v, _mm512_set1_epi8(char(bits))); }
    static vi either(vi a, vi b) { return _mm512_or_si512(a, b); }
    static vi right(vi v, int n) { return _mm512_srl_epi32(v, _mm_cvtsi32_si128(n)); }
    static vi left(vi v, int n) { return _mm512_sll_epi32(v, _mm_cvtsi32_si128(n)); }
    static vi byte(vi v, int n) { return _mm512_and_si512(right(v, 8 * n), _mm512_set1_epi32(255)); }
    static vi signed_byte(vi v, int n) { return _mm512_srai_epi32(left(v, 24 - 8 * n), 24); }
    static vi iq4_nl(vi v) {
        const __m128i table = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), v);
    }

    static vi two(__m256i a, __m256i b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }
    static __m256i load_32(const char * p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)); }
    static vi bytes(const char * a, const char * b) { return two(load_32(a), load_32(b)); }
    static __m256i spread_16(const char * p) {  // 16 bytes, and again moved right by four bits
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
        return _mm256_set_m128i(_mm_srli_epi16(v, 4), v);
    }
    static vi nibbles(const char * a, const char * b) { return two(spread_16(a), spread_16(b)); }
    static vi high_bits(const char * p, int a, int b, int bits) {
        const vi by = two(_mm256_set1_epi32(a), _mm256_set1_epi32(b));
        return left(low_bits(_mm512_srlv_epi32(bytes(p, p), by), bits), 4);
    }

    // The sums over 16 bytes of four rows, side by side; then over what is a block's of all rows.
    static vi four_sums(const vi * s) {
        const vi a = add(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
        const vi b = add(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
        return add(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    template <long PARTS> static void all_sums(const vi * q, vi * out) {
        const vi a = _mm512_shuffle_i32x4(q[0], q[1], 0x88), b = _mm512_shuffle_i32x4(q[0], q[1], 0xdd);
        const vi c = _mm512_shuffle_i32x4(q[2], q[3], 0x88), d = _mm512_shuffle_i32x4(q[2], q[3], 0xdd);
        if (PARTS == 2) {
            out[0] = _mm512_shuffle_i32x4(add(a, b), add(c, d), 0x88);
            out[1] = _mm512_shuffle_i32x4(add(a, b), add(c, d), 0xdd);
        } else {
            out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
            out[PARTS / 4] = _mm512_shuffle_i32x4(b, d, 0x88);
            out[PARTS / 2] = _mm512_shuffle_i32x4(a, c, 0xdd);
            out[PARTS - 1] = _mm512_shuffle_i32x4(b, d, 0xdd);
        }
    }

    static bool none_in(const float * x, long n) {  // whether some are no numbers
        __mmask16 none = 0;
        for (long i = 0; i < n; i += 32) {  // of two at once
            none |= _mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), _mm512_loadu_ps(x + i + 16), _CMP_UNORD_Q);
        }
        return none != 0;
    }
    static void range(const float * x, long n, float * high, float * low) {
        __m512 h = _mm512_loadu_ps(x), l = h;
        for (long i = 16; i < n; i += 16) {
            h = _mm512_max_ps(h, _mm512_loadu_ps(x + i));
            l = _mm512_min_ps(l, _mm512_loadu_ps(x + i));
        }
        *high = _mm512_reduce_max_ps(h);
        *low  = _mm512_reduce_min_ps(l);
    }
    static float to_half_and_back(float v) { return ::to_half_and_back(v); }
    static float top_32(const float * x) {
        return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), _mm512_abs_ps(_mm512_loadu_ps(x + 16))));
    }
    template <long SIXTEENS> static int32_t round_all(const float * x, float inverse, char * out) {  // and their sum
        vi sum = zero_int();
        for (long i = 0; i < SIXTEENS * 16; i += 16) {
            const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(inverse));
            const vi q = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-127.0f)), _mm512_set1_ps(127.0f)));  // no number: -127
            _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i), _mm512_cvtsepi32_epi8(q));
            sum = add(sum, q);
        }
        return _mm512_reduce_add_epi32(sum);
    }
};

} // namespace

namespace omni {
matvec panel_avx512(int32_t type) { return panel_format_of(type).unit ? panel_matvec<v512>(type) : matvec{type, 1, nullptr, nullptr, nullptr}; }
} // namespace omni
#else
namespace omni {
matvec panel_avx512(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
