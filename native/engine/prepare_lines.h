// Int8 convolutions of few channels, row by row (executor_lines.h), and with the max pooling behind them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "prepare.h"

namespace bitwright {

// Null where the convolution needs another way. After the op's rows and its cut. `pixels`: of a stretch, at most, and 0 for maxima: of a whole row.
std::unique_ptr<const PreparedLines> make_lines(const OpInfo& op, const ValueInfo& in, const PreparedOp& p, uint32_t pixels);

// Whether the pooling takes maxima of 3 x 3 every 2 pixels, with one line of padding before, as Int8Kernel::maxima does.
bool pools_maxima(const OpInfo& pool);

// For maxima of a convolution's sums in place of maxima of what its steps, all but the last, make of them: the channels whose numbers fall while
// their sums rise. Their sums have to be negated first, and the first factor of an AFFINE with it, which changes no number: (-x)*(-a) is x*a. Nothing
// where that does not give the same bits.
//
// Every step that is allowed is monotone, rounding included: products with a number, sums with a number, rounding to nearest, saturation and choosing the
// larger or smaller never turn the order of two numbers around, or turn it around for all (a negative factor). So the chain never falls once an odd number
// of negative factors is made even, and the maximum of its numbers is its number of the maximum. Two things could show the order nevertheless: NaN, which
// finite factors and terms of bounded numbers never give, and the sign of zeros where floats are pooled, which is always + behind an AFFINE whose term is
// not -0.
std::optional<std::vector<bool>> falling_channels(const PreparedOp& op, DType map, uint32_t channels);

}  // namespace bitwright
