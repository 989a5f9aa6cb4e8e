// Where the sliced kernel is expected to beat the popcount kernel, when nobody has timed both.
#pragma once

#include "model.h"
#include "prepare.h"

namespace bitwright {

bool worth_slicing(const OpInfo& op, const PreparedOp& p, const BitSlice& slice);

}  // namespace bitwright
