#include "sliced_rule.h"

namespace bitwright {

bool worth_slicing(const OpInfo& op, const PreparedOp& p, const BitSlice& slice) {
  const uint32_t outputs = op.out_channels / op.geometry.groups, panels = (outputs + 63) / 64;
  const uint64_t bits = uint64_t{slice.taps} * slice.channels;
  if (outputs * 4 < panels * 64 * 3) return false;                   // more than a quarter of the lanes would be empty
  if (slice.channels < 64 || bits < 512) return false;               // features and the last chain weigh too much
  if (op.out_pixels() < 32) return false;                            // 8 pixels at a time, weights 4 times as large
  const uint64_t made = uint64_t{p.table->pixels} * op.geometry.stride[1] * op.geometry.stride[2];  // pixels whose features are made
  return made * bits * 8 <= uint64_t{op.out_pixels()} * outputs * bits;  // each serves enough outputs
}

}  // namespace bitwright
