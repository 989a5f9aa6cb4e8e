// Where the sliced kernel is expected to beat the popcount kernel, when nobody has timed both.
#pragma once

#include "model.h"
#include "prepare.h"
#include "sliced_layout.h"

namespace bitwright {

bool may_slice(const OpInfo& op, const PreparedOp& p, const BitSlice& slice);
// Of a layer that may; network_bytes: see Preparation.
bool worth_slicing(uint64_t network_bytes, const OpInfo& op, const PreparedOp& p, const BitSlice& slice, const SlicedLayout& layout);

}  // namespace bitwright
