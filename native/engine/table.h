// Indirection tables: which input pixel a tap of an output pixel reads. Everything about padding, stride, dilation and dimensions is
// decided here, once per geometry, so that a micro-kernel sees only offsets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "model.h"

namespace bitwright {

struct Table {
  uint32_t pixels = 0;  // output pixels of a sample
  uint32_t taps = 0;
  std::vector<int32_t> offsets;  // [pixels][taps], in elements from the sample's first; padding: see make_table
  bool has_padding = false;      // some tap lies in the padding
  // Classes of output pixels that miss the same taps.
  std::vector<uint32_t> class_of;             // [pixels]
  std::vector<std::vector<uint32_t>> missing;  // [classes] -> taps

  uint32_t classes() const { return static_cast<uint32_t>(missing.size()); }
  size_t bytes() const;
  const int32_t* row(uint32_t pixel) const { return offsets.data() + size_t{pixel} * taps; }
};

// `pixel_stride`: elements from one input pixel to the next. A tap in the padding has the offset `padding` (the padding pixel's, or -1).
// With pad_mode replicate no tap is missing. The geometry has been checked.
std::shared_ptr<const Table> make_table(const Geometry& g, const std::array<uint32_t, 3>& in, const std::array<uint32_t, 3>& out,
                                        size_t pixel_stride, int32_t padding);

}  // namespace bitwright
