#include <vector>

#include "prepare_chain.h"
#include "prepare_layers.h"
#include "split.h"

namespace bitwright {
namespace {

// All groups' 1-bit weights of a depthwise convolution: rows of one channel.
const float* expand_all(const uint32_t* bits, const OpInfo& op, const PreparedOp& p, std::vector<float>& out) {
  for (size_t r = 0; r < size_t{op.out_channels} * p.taps; ++r) out.push_back(bits[r] & 1 ? 1.0f : -1.0f);
  return out.data();
}

// 1-bit weights of one group as -1 and 1. `row`: channels of a tap.
const float* expand(const uint32_t* bits, const OpInfo& op, const PreparedOp& p, uint32_t group, uint32_t row, std::vector<float>& out) {
  const size_t rows = size_t{p.cut.group_outputs} * op.geometry.taps(), words = (size_t{row} + 31) / 32;
  bits += group * rows * words;
  out.resize(rows * row);
  float* to = out.data();
  for (size_t r = 0; r < rows; ++r, bits += words)
    for (uint32_t c = 0; c < row; ++c) *to++ = (bits[c / 32] >> (c % 32)) & 1 ? 1.0f : -1.0f;
  return out.data();
}

// Minimal filtering, where it is asked for or expected to be faster.
bool minimal(Preparation& all, const OpInfo& op, PreparedOp& p, const ValueInfo& in) {
  const MinimalKernel* kernel = p.kernels.minimal;
  if (!kernel || straddles(p) || !suits_minimal(op, in)) return false;
  auto own = std::make_unique<PreparedMinimal>();
  own->kernel = kernel;
  own->layout = make_minimal_layout(op, in, *kernel);
  const MinimalLayout& layout = own->layout;
  if (!p.kernels.minimal_forced && !worth_minimal(layout, op, p.kernels.floats->panel)) return false;
  const uint64_t bytes = checked_product({layout.weight_floats(), sizeof(float)}, all.model().limits.prepared_bytes, all.where() + ": transformed weights");
  all.charge_weights(bytes);
  all.charge(layout.table_bytes());
  all.scratch(layout.scratch * sizeof(float));
  p.taps = op.geometry.taps();
  p.depth = in.channels();
  p.cut.group_outputs = op.out_channels;
  p.weights = AlignedBuffer(bytes);
  std::vector<float> expanded;
  const bool floats = all.model().constants[op.weight].dtype == ConstType::kF32;
  layout.pack(p.weights.as<float>(), floats ? all.constant<float>(op.weight) : expand(all.constant<uint32_t>(op.weight), op, p, 0, in.channels(), expanded));
  p.minimal = std::move(own);
  return true;
}

}  // namespace

void prepare_floats(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const ValueInfo& in = all.model().values[op.in];
  if (minimal(all, op, p, in)) return;
  const FloatKernel* kernel = p.kernels.floats;
  const bool dense = covers_map(op.geometry, in);
  p.table = all.table(op, in, dense, in.channels(), -1);
  p.taps = dense ? 1 : op.geometry.taps();
  p.depth = dense ? op.geometry.taps() * in.channels() : in.channels() / op.geometry.groups;
  p.depthwise = is_depthwise(op, in);
  const uint32_t width = op.geometry.kernel[2];
  if (!dense && op.geometry.groups == 1 && width > 1 && p.depth < 16) {
    auto gather = make_gather(*p.table, p.depth, width, -1);
    // Copying a window costs more than the kernel's own look at each tap.
    if (gather->whole_pixels() * 4 >= size_t{p.table->pixels} * 3) p.gather = std::move(gather);
  }
  if (p.gather) {
    all.charge(p.gather->bytes());
    p.taps = p.gather->lines;
    p.depth = p.gather->line;
  }
  all.cut(op, p, kernel->panel, kernel->mr, p.depthwise ? 1 : op.geometry.groups);
  if (p.gather) {
    p.gather_at = p.plane_scratch;
    all.scratch(p.gather_at + uint64_t{kChunk} * p.gather->row * sizeof(float));
  }
  p.chain = make_float_chain(p);
  const auto panel_bytes = [&](uint32_t taps, uint32_t depth) { return kernel->panel_floats(taps, depth) * sizeof(float); };
  if (all.model().constants[op.weight].dtype == ConstType::kF32) {
    const auto* canonical = all.constant<float>(op.weight);
    if (p.depthwise) return all.pack_depthwise(p, canonical);
    all.pack<float>(op, p, kernel->pack, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, panel_bytes);
    return;
  }
  std::vector<float> expanded;
  if (p.depthwise) return all.pack_depthwise(p, expand_all(all.constant<uint32_t>(op.weight), op, p, expanded));
  all.pack<float>(op, p, kernel->pack, [&](uint32_t g) { return expand(all.constant<uint32_t>(op.weight), op, p, g, in.channels() / op.geometry.groups, expanded); }, panel_bytes);
}

}  // namespace bitwright
