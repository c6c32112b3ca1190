#include "blocks/snake.h"

#include <cstring>

// The loop is compiled once per instruction set and chosen when the module is loaded, where the toolchain can do that;
// sanitizers start too late for the functions that choose.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OMNI_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define OMNI_CLONES
#endif

namespace omni {

// sin(y)^2, without the sign that a sine would need. y is brought into [-pi/4, pi/4] by a multiple n of pi/2 (Cody and
// Waite: the first two parts of pi/2 are so short that n times each is exact up to |y| = 1e4), where a polynomial in
// y^2 gives the square; for odd n it is one minus that. The error for a given float y is below 1e-7 up to |y| = 1e4. Far
// beyond, where a float angle says nothing, the result still lies in [0, 1].
static inline float sin_squared(float y) {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits
    const float shifted = y * 0.636619772f + magic;
    const float n = shifted - magic;
    const float coarse = (y - n * 1.5703125f) - n * 4.837512969970703125e-4f;
    const float rest = n * 7.54978995489188216e-8f;
    const float r = coarse - rest;
    const float r_low = (coarse - r) - rest;  // what rounding took from r
    const float z = r * r + (r + r) * r_low;
    // z - z^2/3 + 2 z^3/45 - z^4/315 + 2 z^5/14175 - 2 z^6/467775
    float p = -4.27555983e-6f;
    p = p * z + 1.41093474e-4f;
    p = p * z - 3.17460317e-3f;
    p = p * z + 4.44444444e-2f;
    p = p * z - 3.33333333e-1f;
    const float even = p * z * z + z;
    const float odd  = 1.0f - even;
    int32_t low, even_bits, odd_bits;
    std::memcpy(&low, &shifted, sizeof(low));
    std::memcpy(&even_bits, &even, sizeof(low));
    std::memcpy(&odd_bits, &odd, sizeof(low));
    // Choices by masks: written as conditions, compilers see branches and leave the loop alone. The order of floats that
    // are not negative is the order of their bits.
    const int32_t is_odd = -(low & 1);
    int32_t bits = (odd_bits & is_odd) | (even_bits & ~is_odd);
    bits &= ~(bits >> 31);                                         // at least 0
    const int32_t one = 0x3f800000, over = (one - bits) >> 31;
    bits = (bits & ~over) | (one & over);                          // at most 1
    float square;
    std::memcpy(&square, &bits, sizeof(bits));
    return square;
}

OMNI_CLONES static void snake_row(float * y, const float * x, const float * a, const float * b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] + b[i] * sin_squared(a[i] * x[i]);
    }
}

static void snake_rows(ggml_tensor * dst, const ggml_tensor * x, const ggml_tensor * a, const ggml_tensor * b, int ith, int nth, void *) {
    const int64_t n = x->ne[0], n_rows = x->ne[1];
    for (int64_t t = n_rows * ith / nth; t < n_rows * (ith + 1) / nth; t++) {
        snake_row(static_cast<float *>(dst->data) + t * n, static_cast<const float *>(x->data) + t * n,
                  static_cast<const float *>(a->data), static_cast<const float *>(b->data), n);
    }
}

snake::snake(const loader & l, int64_t n_channels) : a(l.f32("a", {n_channels})), b(l.f32("b", {n_channels})) {}

ggml_tensor * snake::build(graph & g, ggml_tensor * x) const {
    if (g.cpu) {  // there ggml's SIN and SQR run on one thread, a number at a time
        return ggml_map_custom3(g.ctx, x, a, b, snake_rows, GGML_N_TASKS_MAX, nullptr);
    }
    ggml_tensor * wave = ggml_sqr(g.ctx, ggml_sin(g.ctx, ggml_mul(g.ctx, x, a)));
    return ggml_add(g.ctx, x, ggml_mul(g.ctx, wave, b));
}

} // namespace omni
