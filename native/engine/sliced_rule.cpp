#include "sliced_rule.h"

#include <optional>

namespace bitwright {
namespace {

// Cycles of a Zen 5 server: least squares over 204 layers (1x1 and 3x3, stride 1 and 2, maps of 7x7 to 56x56, 64 to 512 channels and outputs; thresholds,
// float maps, blocks with float and i16 residual; each between its neighbours in a network), both kernels in turn, one thread. Each kernel's time
// alone is predicted to 6 % (median) or 13 % (nine of ten). The choice was wrong by more than 2 % for 3 of the 204, at worst by 7 %.
constexpr double kCyclesPerStep = 3.15;      // of 8 pixels x 64 outputs
constexpr double kCyclesPerFeature = 15;     // a step's two planes, 64 positions of a map
constexpr double kCyclesPerJoint = 10;       // the same of the joint chain
constexpr double kCyclesPerLayer = 500;      // more than the popcount kernel's
constexpr double kPopcountBitsPerCycle = 667;
// In a network that no L2 holds weights come from further away each run, and these are four times as large. Popcount time / this kernel's, alone and in a
// Bi-Real ResNet-18 with float residual (Session.profile): 28x28x128 1.19, 1.14; 14x14x256 1.18, 1.05; 7x7x512 1.03, 0.82; 14x14, 256 -> 512 with
// stride 2 1.08, 0.86. With i16 residual, half of the memory: 7x7x512 1.05, 1.0.
constexpr double kFarBytesPerCycle = 20;
constexpr uint64_t kNear = uint64_t{2} << 20;  // an op's data and some of its neighbours'

// What the end of 8 pixels x 64 outputs costs more than it does in the popcount kernel; none where counts would go through memory.
std::optional<double> end_cycles(const PreparedOp& p, uint32_t outputs) {
  if (p.threshold) return 16;
  if (!p.plan || outputs % 64 != 0) return std::nullopt;  // see make_chain
  if (p.plan->fixed) return p.plan->factor != nullptr ? std::optional<double>(36) : std::nullopt;
  if (!p.plan->usual()) return std::nullopt;
  return p.plan->add == ChainPlan::kNoStep ? 44 : 100;
}

}  // namespace

bool may_slice(const OpInfo& op, const PreparedOp& p, const BitSlice& slice) {
  const uint32_t outputs = op.out_channels / op.geometry.groups, panels = (outputs + 63) / 64;
  if (outputs * 4 < panels * 64 * 3) return false;  // more than a quarter of the lanes would be empty
  // Of one tap: features that nobody shares. Such layers were slower by 7 to 30 %.
  if (slice.taps == 1 || slice.channels < 64) return false;
  if (op.out_pixels() < 32) return false;  // a tile or two would read all weights, which are four times as large
  return end_cycles(p, outputs).has_value();
}

bool worth_slicing(uint64_t network_bytes, const OpInfo& op, const PreparedOp& p, const BitSlice& slice, const SlicedLayout& layout) {
  const uint32_t outputs = op.out_channels / op.geometry.groups, panels = (outputs + 63) / 64;
  const double tiles = static_cast<double>(layout.groups.size()) * panels;
  const double features = static_cast<double>(layout.blocks) * layout.phases * slice.whole * kCyclesPerFeature +
                          static_cast<double>(layout.output_blocks) * slice.joint * kCyclesPerJoint;
  const double sliced = layout.channel_groups * (tiles * (slice.steps * kCyclesPerStep + *end_cycles(p, outputs)) + features) + kCyclesPerLayer;
  const double bits = static_cast<double>(op.out_pixels()) * op.out_channels * slice.taps * slice.words * 32;
  const double more = static_cast<double>(layout.channel_groups) * panels * (slice.steps * 192.0 - slice.taps * slice.words * 256.0);
  return sliced + (network_bytes > kNear ? more / kFarBytesPerCycle : 0) < bits / kPopcountBitsPerCycle;
}

}  // namespace bitwright
