#include "blocks/snake.h"

#include <cstring>

// Loops are compiled once per instruction set and chosen when the module is loaded, where the compiler can do that.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define OMNI_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define OMNI_CLONES
#endif

namespace omni {

// sin(y)^2, without the sign that a sine would need. y is brought into [-pi/4, pi/4] by multiples n of pi/2 (Cody and
// Waite: the first two parts of pi/2 are so short that n times each is exact up to |y| = 1e4), where a polynomial in
// y^2 gives the square; for odd n it is one minus that. The absolute error for a given float y is below 1e-7 up to
// |y| = 1e4. Far beyond, where a float angle says nothing, the result still lies in [0, 1].
static inline float sin_squared(float y) {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits
    const float shifted = y * 0.636619772f + magic;
    const float n = shifted - magic;
    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    float r = y - n * 1.5703125f;
    r = r - n * 4.837512969970703125e-4f;
    r = r - n * 7.54978995489188216e-8f;
    const float z = r * r;
    // z - z^2/3 + 2 z^3/45 - z^4/315 + 2 z^5/14175 - 2 z^6/467775
    float q = -4.27555983e-6f;
    q = q * z + 1.41093474e-4f;
    q = q * z - 3.17460317e-3f;
    q = q * z + 4.44444444e-2f;
    q = q * z - 3.33333333e-1f;
    q = q * z * z + z;
    q = (bits & 1u) ? 1.0f - q : q;
    q = q < 0.0f ? 0.0f : q;
    return q > 1.0f ? 1.0f : q;
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
