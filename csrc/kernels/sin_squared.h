// sin(y)^2, the wave of SnakeBeta, without intrinsics: each instruction set compiles it for itself.
#pragma once

#include <cstring>

namespace {

// sin(y)^2, without the sign that a sine would need. y is brought into [-pi/4, pi/4] by a multiple n of pi/2 (Cody and
// Waite: the first two parts of pi/2 are so short that n times each is exact up to |y| = 1e4), where a polynomial in
// y^2 gives the square; for odd n it is one minus that. The error for a given float y is below 1e-7 up to |y| = 1e4. Far
// beyond, where a float angle says nothing, the result still lies in [0, 1].
inline float sin_squared(float y) {
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
    int low, even_bits, odd_bits;
    memcpy(&low, &shifted, sizeof(low));
    memcpy(&even_bits, &even, sizeof(low));
    memcpy(&odd_bits, &odd, sizeof(low));
    // Choices by masks: written as conditions, compilers see branches and leave the loop alone. The order of floats that
    // are not negative is the order of their bits.
    const int is_odd = -(low & 1);
    int bits = (odd_bits & is_odd) | (even_bits & ~is_odd);
    bits &= ~(bits >> 31);                                         // at least 0
    const int one = 0x3f800000, over = (one - bits) >> 31;
    bits = (bits & ~over) | (one & over);                          // at most 1
    float square;
    memcpy(&square, &bits, sizeof(bits));
    return square;
}

} // namespace
