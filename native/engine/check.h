// The parts of check_model (model.h).
#pragma once

#include "model.h"

namespace bitwright {

// Both throw Error(kModel) with a message that begins with `where`. The first returns the number of taps.
uint64_t check_conv_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                             const std::string& where);
void check_pool_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                         const std::string& where);

// Every value is written once before it is read; values that live at the same time do not overlap.
void check_plan(const Model& model);

}  // namespace bitwright
