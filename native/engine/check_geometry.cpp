// Windows of convolutions and poolings: the output's size, and that each window meets the map.
#include <algorithm>

#include "check.h"
#include "error.h"
#include "model.h"

namespace bitwright {
namespace {

const char* const kDimNames[3] = {"D", "H", "W"};

uint64_t kernel_taps(const Geometry& g, const Limits& limits, const std::string& where) {
  for (int k = 0; k < 3; ++k)
    if (g.kernel[k] == 0 || g.stride[k] == 0 || g.dilation[k] == 0)
      bad_model(where, ": kernel ", g.kernel[k], ", stride ", g.stride[k], ", dilation ", g.dilation[k], " in ", kDimNames[k], ", each must be >= 1");
  return checked_product({g.kernel[0], g.kernel[1], g.kernel[2]}, limits.taps, where + ": number of taps");
}

void check_size(int k, uint64_t said, uint64_t needed, const std::string& where) {
  if (said != needed) bad_model(where, ": output ", kDimNames[k], " is ", said, ", its geometry gives ", needed);
}

}  // namespace

uint64_t check_conv_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                             const std::string& where) {
  const uint64_t taps = kernel_taps(g, limits, where);
  if (g.transposed && g.pad_mode != PadMode::kZero)
    bad_model(where, ": pad_mode ", static_cast<uint32_t>(g.pad_mode), " of a transposed convolution, 0 is expected");
  for (int k = 0; k < 3; ++k) {
    const uint64_t extent = g.extent(k);
    if (g.transposed) {
      if (g.pad_end[k] != 0) bad_model(where, ": pad_end ", g.pad_end[k], " of a transposed convolution, 0 is expected");
      // (in-1)*stride < 2^64 - 2^33: two factors below 2^32, and extent < 2^49 (kernel <= 65536).
      const uint64_t full = std::min<uint64_t>(uint64_t{in.dims[k] - 1} * g.stride[k], uint64_t{1} << 62) + extent;
      const uint64_t bound = full + std::max(g.stride[k], g.dilation[k]);
      if (out[k] == 0 || uint64_t{out[k]} + g.pad_begin[k] >= bound)
        bad_model(where, ": output ", kDimNames[k], " is ", out[k], ", its geometry allows 1 to ",
                  bound - 1 > g.pad_begin[k] ? bound - 1 - g.pad_begin[k] : 0);
      continue;
    }
    const uint64_t padded = uint64_t{in.dims[k]} + g.pad_begin[k] + g.pad_end[k];
    if (padded < extent) bad_model(where, ": the kernel spans ", extent, " in ", kDimNames[k], ", the padded map has ", padded);
    check_size(k, out[k], (padded - extent) / g.stride[k] + 1, where);
  }
  checked_product({out[0], out[1], out[2], taps}, limits.table_entries, where + ": output pixels * taps");
  return taps;
}

void check_pool_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                         const std::string& where) {
  kernel_taps(g, limits, where);
  for (int k = 0; k < 3; ++k) {
    const uint64_t extent = g.extent(k), begin = g.pad_begin[k], size = in.dims[k];
    const uint64_t padded = size + begin + g.pad_end[k];
    const uint64_t floor = padded < extent ? 0 : (padded - extent) / g.stride[k] + 1;
    const uint64_t ceil = padded < extent ? 1 : (padded - extent + g.stride[k] - 1) / g.stride[k] + 1;
    if (out[k] == 0 || (out[k] != floor && out[k] != ceil))
      bad_model(where, ": output ", kDimNames[k], " is ", out[k], ", its geometry gives ", floor, floor == ceil ? "" : text(" or ", ceil));
    // A step of at most the map's size cannot jump over it, so only the first and the last window can miss it.
    const uint64_t step = g.kernel[k] > 1 ? g.dilation[k] : 1;
    if (step > size) bad_model(where, ": dilation ", step, " in ", kDimNames[k], " exceeds the map's ", size);
    if (begin >= extent) bad_model(where, ": window 0 in ", kDimNames[k], " has no element inside the map");
    const uint64_t last = (uint64_t{out[k]} - 1) * g.stride[k];
    if (last >= begin + size) bad_model(where, ": window ", out[k] - 1, " in ", kDimNames[k], " has no element inside the map");
  }
}

}  // namespace bitwright
