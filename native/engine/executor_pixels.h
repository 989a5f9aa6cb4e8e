// Binary convolutions by kernels whose lanes are output pixels.
#pragma once

#include "executor.h"

namespace bitwright {

// Whether they are expected to be faster for so many samples. False only where run_counts can take the op.
bool pixels_pay(const RunContext& run, const PreparedOp& op);

void run_pixels(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
