// Whether and how a convolution's kernel takes the op's chain of steps in registers.
#pragma once

#include <memory>

#include "prepare.h"

namespace bitwright {

// Null: counts go through memory to the epilogue. After the op's rows and its cut. `sliced`: the kernel that counts, or null: op.binary does.
std::unique_ptr<const PreparedChain> make_chain(const PreparedOp& op, uint32_t channels, const SlicedKernel* sliced);

// The same for a float convolution.
std::unique_ptr<const PreparedChain> make_float_chain(const PreparedOp& op);

}  // namespace bitwright
