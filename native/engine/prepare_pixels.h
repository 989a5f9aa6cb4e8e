// Binary convolutions whose kernel has the pixels in the lanes.
#pragma once

#include <memory>

#include "preparation.h"

namespace bitwright {

// Whether pixels in the lanes may serve an op, and may be worth it: few outputs, or groups whose outputs share words.
bool suits_pixels_in_lanes(const OpInfo& op, const PreparedOp& p, uint32_t classes);

// The kernel, or its variant, that has such a twin; or null.
const BinaryKernel* with_pixels_in_lanes(const BinaryKernel* kernel);

// The map for a kernel with pixels in the lanes, or null: not worth it.
std::unique_ptr<const PhasedMap> map_of_pixels(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense);

// After the rows of limits.
void pixels_in_lanes(Preparation& all, const OpInfo& op, PreparedOp& p, std::unique_ptr<const PhasedMap> phases);

}  // namespace bitwright
