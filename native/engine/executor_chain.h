// Binary convolutions whose kernel takes the chain of steps in registers.
#pragma once

#include "executor.h"
#include "executor_maps.h"

namespace bitwright {

// One work item: these pixels of the row of all samples' pixels, these panels.
void run_chain(const RunContext& run, const OpInfo& info, const PreparedOp& op, const StepList& steps, size_t first_pixel, uint32_t pixels, uint32_t panel_begin,
               uint32_t panel_end);

}  // namespace bitwright
