// Binary convolutions by kernels whose lanes are output pixels.
#pragma once

#include "executor.h"

namespace bitwright {

// Whether such a kernel is there for the op, and this run has pixels enough to fill the lanes.
bool pixels_fit_lanes(const RunContext& run, const OpInfo& info, const PreparedOp& op);

void run_pixels(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
