#include "phase_axis.h"

#include <algorithm>
#include <map>

namespace bitwright {

PhaseAxis make_phase_axis(const Geometry& g, int dim) {
  PhaseAxis a;
  std::map<uint32_t, uint32_t> index;
  for (uint32_t k = 0; k < g.kernel[dim]; ++k) index.emplace(uint32_t(uint64_t{k} * g.dilation[dim] % g.stride[dim]), 0);
  for (auto& [phase, i] : index) {
    i = static_cast<uint32_t>(a.phases.size());
    a.phases.push_back(phase);
  }
  for (uint32_t k = 0; k < g.kernel[dim]; ++k) {
    const auto at = uint64_t{k} * g.dilation[dim];
    a.phase.push_back(index[uint32_t(at % g.stride[dim])]);
    a.shift.push_back(static_cast<uint32_t>(at / g.stride[dim]));
    a.reach = std::max(a.reach, a.shift.back());
  }
  return a;
}

int64_t phase_source(const Geometry& g, int dim, uint32_t size, uint32_t phase, uint32_t position) {
  const int64_t i = int64_t{position} * g.stride[dim] + phase - g.pad_begin[dim];
  if (g.pad_mode == PadMode::kReplicate) return std::clamp<int64_t>(i, 0, int64_t{size} - 1);
  return i >= 0 && i < size ? i : -1;
}

}  // namespace bitwright
