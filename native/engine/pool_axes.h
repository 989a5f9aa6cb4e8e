// Which elements of a map each window of a pooling has, axis by axis.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model.h"

namespace bitwright {

struct PoolWindow {
  uint32_t first;   // coordinate of the first element that lies in the map
  uint32_t count;   // of elements that do
  uint32_t padded;  // of elements that lie in the padded map
  uint32_t alike;   // how many windows from this one on, itself included, differ from it only in `first`, a stride further each
};

using PoolAxes = std::array<std::vector<PoolWindow>, 3>;  // [axis][output coordinate]

PoolAxes pool_axes(const Geometry& geometry, const std::array<uint32_t, 3>& size, const std::array<uint32_t, 3>& out);

}  // namespace bitwright
