// What a depthwise BCONV's kernel reads beside the op's rows: runs of pixels or their phases, bounds of thresholds.
#pragma once

#include <memory>

#include "prepare.h"

namespace bitwright {

// A row of words as the lanes of depthwise_lanes.
void spread_depthwise_lanes(uint32_t* lanes, const uint32_t* row, uint32_t words);

// After the op's table, taps and rows. `classes`: of the rows; `in_registers`: the kernel itself takes the threshold.
std::unique_ptr<const PreparedDepthwise> make_depthwise(const PreparedOp& p, const OpInfo& op, const ValueInfo& in, uint32_t classes, bool in_registers);

}  // namespace bitwright
