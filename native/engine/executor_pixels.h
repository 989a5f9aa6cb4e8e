// Binary convolutions by kernels whose lanes are output pixels.
#pragma once

#include "executor.h"

namespace bitwright {

void run_pixels(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
