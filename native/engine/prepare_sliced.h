// Binary convolutions that a sliced kernel runs.
#pragma once

#include <memory>

#include "preparation.h"

namespace bitwright {

// The sliced kernel's part, or null if the popcount kernel takes the layer.
std::unique_ptr<PreparedSliced> make_sliced(const Preparation& all, const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense, bool one_class);

void pack_sliced(Preparation& all, const OpInfo& op, PreparedOp& p, PreparedSliced& s, const uint32_t* canonical);

// The limits of the op's rows and the flips, for the bit-sliced comparison.
void slice_limits(Preparation& all, const OpInfo& op, const PreparedOp& p, PreparedSliced& s);

}  // namespace bitwright
