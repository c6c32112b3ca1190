// Products with quantised weights for any number of rows. The weights of some rows of the matrix are unpacked into a panel
// of 8-bit numbers, one output a lane, and multiplied with all rows of x. A result is defined to the last bit: block after
// block, with the sum of its products, an integer, and the scales of both sides,
//     y = fma(sum, w_scale * x_scale, y), and for a type with minima y = fma(-minimum, x_sum, y) behind it.
// So all instruction sets, numbers of rows and cuts of the matrix give the same bits. Rows are rounded as ggml rounds them; where
// one holds what is no number, its product is none.
#pragma once

#include "kernels/matvec.h"

namespace omni {

// How a type lays out its rows, and in which form x meets them.
struct panel_format {
    int32_t unit = 0;          // numbers that x is quantised by, with one scale
    int32_t block = 0;         // numbers under one scale of the weights
    int32_t zero = 0;          // the number that stands for 0, where numbers are unsigned
    bool    is_signed = false;
    bool    minima = false;    // a block's numbers are counted from its minimum
};

extern const float no_number;  // NaN; here, since code for an instruction set takes no inline function from a header

panel_format panel_format_of(int32_t type);  // unit 0: this type has no panels

// What an instruction set's file offers: multiply is nullptr where it has none.
matvec panel_scalar(int32_t type);
matvec panel_avx2(int32_t type);
matvec panel_avx512(int32_t type);
matvec panel_neon(int32_t type);
matvec panel_neon_dotprod(int32_t type);
matvec panel_neon_i8mm(int32_t type);

} // namespace omni
