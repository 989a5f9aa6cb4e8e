// Binary convolutions whose kernel has the pixels in the lanes.
#pragma once

#include <memory>

#include "preparation.h"

namespace bitwright {

// Whether pixels in the lanes may serve an op.
bool suits_pixels_in_lanes(const OpInfo& op, const PreparedOp& p, uint32_t classes);

// The kernel, or its variant, that has such a twin; or null.
const BinaryKernel* with_pixels_in_lanes(const BinaryKernel* kernel);

// The map for a kernel with pixels in the lanes, or null: not worth it.
std::unique_ptr<const PhasedMap> map_of_pixels(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense, uint32_t classes);

// Whether the same panels serve the kernel with the channels in the lanes.
bool in_both_ways(const OpInfo& op, const PreparedOp& p);

// Roughly, of a sample.
uint64_t cycles_without_pixels(const OpInfo& op, const PreparedOp& p, uint32_t classes);

// After the rows of limits.
void pixels_in_lanes(Preparation& all, const OpInfo& op, PreparedOp& p, std::unique_ptr<const PhasedMap> phases);

}  // namespace bitwright
