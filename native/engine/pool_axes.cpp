#include "pool_axes.h"

#include <algorithm>

namespace bitwright {
namespace {

PoolWindow window(const Geometry& g, int axis, int64_t size, int64_t o) {
  const int64_t step = g.dilation[axis], kernel = g.kernel[axis], start = o * g.stride[axis] - g.pad_begin[axis];
  const auto below = [&](int64_t bound) {  // elements with a coordinate < bound
    return bound <= start ? int64_t{0} : std::min(kernel, (bound - start + step - 1) / step);
  };
  const int64_t first = below(0);
  return {static_cast<uint32_t>(start + first * step), static_cast<uint32_t>(below(size) - first), static_cast<uint32_t>(below(size + g.pad_end[axis])), 1};
}

}  // namespace

PoolAxes pool_axes(const Geometry& geometry, const std::array<uint32_t, 3>& size, const std::array<uint32_t, 3>& out) {
  PoolAxes axes;
  for (int axis = 0; axis < 3; ++axis) {
    auto& windows = axes[static_cast<size_t>(axis)];
    for (uint32_t o = 0; o < out[static_cast<size_t>(axis)]; ++o) windows.push_back(window(geometry, axis, size[static_cast<size_t>(axis)], o));
    for (size_t o = windows.size(); o-- > 1;) {
      const PoolWindow& next = windows[o];
      PoolWindow& w = windows[o - 1];
      if (next.first == w.first + geometry.stride[axis] && next.count == w.count && next.padded == w.padded) w.alike = next.alike + 1;
    }
  }
  return axes;
}

}  // namespace bitwright
