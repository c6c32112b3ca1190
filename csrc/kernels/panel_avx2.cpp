// Panels of 8 outputs on AVX2.
#include "kernels/panel.h"

#if defined(__AVX2__)
#include <immintrin.h>

#include "kernels/half.h"
#include "kernels/panel_tiles.h"

namespace {

struct v256 {
    using vf = __m256;
    using vi = __m256i;
    static constexpr long lanes = 8, max_rows = 4, few = 2;  // 4 sums, 4 results, weights and what a product takes: of 16 registers
    static constexpr bool unsigned_only = false, own_products = false;

    // Pairs of unsigned times signed bytes, summed up by fours: sizes of at most 128 and 127, so no pair saturates.
    template <bool SIGNED> struct weights {
        vi w, size;
        explicit weights(vi w) : w(w), size(SIGNED ? _mm256_abs_epi8(w) : w) {}
        vi dot(vi sum, vi x) const {
            const vi pairs = _mm256_maddubs_epi16(size, SIGNED ? _mm256_sign_epi8(x, w) : x);
            return add(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    };

    static vi spread_int(const char * p) { int32_t v; memcpy(&v, p, 4); return _mm256_set1_epi32(v); }
    static vf spread(const char * p) { float v; memcpy(&v, p, 4); return _mm256_set1_ps(v); }
    static vf zero() { return _mm256_setzero_ps(); }
    static vi zero_int() { return _mm256_setzero_si256(); }
    static vi add(vi a, vi b) { return _mm256_add_epi32(a, b); }
    static vi load(const uint8_t * p) { return _mm256_load_si256(reinterpret_cast<const vi *>(p)); }
    static vf load(const float * p) { return _mm256_load_ps(p); }
    static void store(float * p, vf v) { _mm256_store_ps(p, v); }
    static void store(uint8_t * p, vi v) { _mm256_store_si256(reinterpret_cast<vi *>(p), v); }
    static vi first(long n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
    static vf load_part(const float * p, long n) { return _mm256_maskload_ps(p, first(n)); }
    static void store_part(float * p, vf v, long n) { _mm256_maskstore_ps(p, first(n), v); }
    static vf mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
    static vf fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
    static vf to_float(vi v) { return _mm256_cvtepi32_ps(v); }
    static void fetch(const char * p) { _mm_prefetch(p, _MM_HINT_T1); }

    static __m128i load_16(const char * p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }

    static void columns(const weight_rows & w, long at, vi * out) {
        vi z[4];
#pragma GCC unroll 4
        for (long j = 0; j < 4; j++) {
            z[j] = _mm256_set_m128i(load_16(w.row[4 + j] + at), load_16(w.row[j] + at));
        }
        const vi a = _mm256_unpacklo_epi32(z[0], z[1]), b = _mm256_unpackhi_epi32(z[0], z[1]);
        const vi c = _mm256_unpacklo_epi32(z[2], z[3]), d = _mm256_unpackhi_epi32(z[2], z[3]);
        out[0] = _mm256_unpacklo_epi64(a, c);
        out[1] = _mm256_unpackhi_epi64(a, c);
        out[2] = _mm256_unpacklo_epi64(b, d);
        out[3] = _mm256_unpackhi_epi64(b, d);
    }

    static vf halves(const weight_rows & w, long at) {
        int16_t h[8];
#pragma GCC unroll 8
        for (long r = 0; r < 8; r++) {
            memcpy(&h[r], w.row[r] + at, 2);
        }
        return _mm256_cvtph_ps(_mm_setr_epi16(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]));
    }
    static vf low_half(vi v) {
        const vi low = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
        return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
    }

    static vi as_stored(vi v) { return v; }
    static vi low_bits(vi v, int bits) { return _mm256_and_si256(v, _mm256_set1_epi8(char(bits))); }
    static vi either(vi a, vi b) { return _mm256_or_si256(a, b); }
    static vi right(vi v, int n) { return _mm256_srl_epi32(v, _mm_cvtsi32_si128(n)); }
    static vi left(vi v, int n) { return _mm256_sll_epi32(v, _mm_cvtsi32_si128(n)); }
    static vi byte(vi v, int n) { return _mm256_and_si256(right(v, 8 * n), _mm256_set1_epi32(255)); }
    static vi signed_byte(vi v, int n) { return _mm256_srai_epi32(left(v, 24 - 8 * n), 24); }
    static vi iq4_nl(vi v) {
        const __m128i table = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v);
    }

    static vi bytes(const char * a, const char *) { return _mm256_loadu_si256(reinterpret_cast<const vi *>(a)); }
    static vi nibbles(const char * a, const char *) {  // 16 bytes, and again moved right by four bits
        const __m128i v = load_16(a);
        return _mm256_set_m128i(_mm_srli_epi16(v, 4), v);
    }
    static vi high_bits(const char * p, int a, int, int bits) { return left(low_bits(right(bytes(p, p), a), bits), 4); }

    // The sums over 16 bytes of four rows, side by side; then over what is a block's of all rows.
    static vi four_sums(const vi * s) {
        const vi a = add(_mm256_unpacklo_epi32(s[0], s[1]), _mm256_unpackhi_epi32(s[0], s[1]));
        const vi b = add(_mm256_unpacklo_epi32(s[2], s[3]), _mm256_unpackhi_epi32(s[2], s[3]));
        return add(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    }
    template <long PARTS> static void all_sums(const vi * q, vi * out) {
        const vi a = _mm256_permute2x128_si256(q[0], q[1], 0x20), b = _mm256_permute2x128_si256(q[0], q[1], 0x31);
        out[0] = PARTS == 1 ? add(a, b) : a;
        out[PARTS - 1] = PARTS == 1 ? out[0] : b;
    }

    static float most(__m256 v) {
        __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        m = _mm_max_ps(m, _mm_movehl_ps(m, m));
        return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
    }
    static bool none_in(const float * x, long n) {  // whether some are no numbers
        __m256 none = _mm256_setzero_ps();
        for (long i = 0; i < n; i += 8) {
            const __m256 v = _mm256_loadu_ps(x + i);
            none = _mm256_or_ps(none, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        }
        return _mm256_movemask_ps(none) != 0;
    }
    static void range(const float * x, long n, float * high, float * low) {
        __m256 h = _mm256_loadu_ps(x), l = h;
        for (long i = 8; i < n; i += 8) {
            h = _mm256_max_ps(h, _mm256_loadu_ps(x + i));
            l = _mm256_min_ps(l, _mm256_loadu_ps(x + i));
        }
        *high = most(h);
        *low  = -most(_mm256_sub_ps(_mm256_setzero_ps(), l));
    }
    static float to_half_and_back(float v) { return ::to_half_and_back(v); }
    static float top_32(const float * x) {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        __m256 m = _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
        for (long i = 8; i < 32; i += 8) {
            m = _mm256_max_ps(m, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
        }
        return most(m);
    }
    static vi rounded(const float * x, float inverse) {  // -127 where there is no number
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(inverse));
        return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-127.0f)), _mm256_set1_ps(127.0f)));
    }
    template <long SIXTEENS> static int32_t round_all(const float * x, float inverse, char * out) {  // and their sum
        vi sum = zero_int();
        for (long i = 0; i < SIXTEENS * 16; i += 16) {
            const vi a = rounded(x + i, inverse), b = rounded(x + i + 8, inverse);
            const vi words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
            const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
            _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i), bytes);
            sum = add(sum, add(a, b));
        }
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
    }
};

} // namespace

namespace omni {
matvec panel_avx2(int32_t type) { return panel_format_of(type).unit ? panel_matvec<v256>(type) : matvec{type, 1, nullptr, nullptr, nullptr}; }
} // namespace omni
#else
namespace omni {
matvec panel_avx2(int32_t type) { return {type, 1, nullptr, nullptr, nullptr}; }
} // namespace omni
#endif
