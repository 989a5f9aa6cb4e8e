// One dimension of a convolution whose input is laid out by phases: with stride s, output o and tap k read the padded coordinate o*s + k*d, which is
// position o + (k*d)/s of *phase* (k*d)%s. So a tap of neighbouring outputs lies at neighbouring positions, whatever the stride.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace bitwright {

struct PhaseAxis {
  std::vector<uint32_t> phase, shift;  // of each tap: index into `phases`, positions from the output's
  std::vector<uint32_t> phases;        // used, ascending
  uint32_t reach = 0;                  // largest shift
};

PhaseAxis make_phase_axis(const Geometry& g, int dim);

// Input coordinate of a position of a phase, or -1: in the padding. `size`: of the input.
int64_t phase_source(const Geometry& g, int dim, uint32_t size, uint32_t phase, uint32_t position);

}  // namespace bitwright
