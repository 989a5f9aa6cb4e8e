#include "preparation.h"

#include <array>
#include <numeric>

namespace bitwright {
namespace {

constexpr uint64_t kTileBytes = 16 << 10;  // of counts that an epilogue gets at a time, about: a third of the smallest L1

bool is_bits(StepKind kind) { return StepInfo{kind}.writes_bits(); }

bool writes_bits(const PreparedOp& p) {
  return std::any_of(p.steps.begin(), p.steps.end(), [](const PreparedStep& s) { return is_bits(s.step.kind); });
}

}  // namespace

bool covers_map(const Geometry& g, const ValueInfo& in) {
  if (g.transposed || g.groups != 1) return false;
  for (int k = 0; k < 3; ++k)
    if (g.kernel[k] != in.dims[k] || g.dilation[k] != 1 || g.pad_begin[k] != 0 || g.pad_end[k] != 0) return false;
  return true;
}

bool is_depthwise(const OpInfo& op, const ValueInfo& in) {
  return op.geometry.groups > 1 && op.geometry.groups == in.channels() && op.out_channels == in.channels();
}

bool straddles(const PreparedOp& p) {
  return std::any_of(p.steps.begin(), p.steps.end(), [](const PreparedStep& s) {
    return is_bits(s.step.kind) && s.step.value.groups > 1 && s.step.value.group_channels % 32 != 0;
  });
}

Preparation::Preparation(std::shared_ptr<const Model> model, const Kernels& kernels) {
  result_->model = std::move(model);
  result_->kernels = kernels;
  result_->ops.reserve(this->model().ops.size());
  network_bytes_ = this->model().arena_bytes;
  for (const ConstantInfo& c : this->model().constants) network_bytes_ += c.bytes();
}

void Preparation::at(size_t index) { where_ = text("op ", index, " (", name_of(model().ops[index].opcode), ")"); }

void Preparation::charge(uint64_t bytes) {
  result_->bytes += bytes;
  if (result_->bytes > model().limits.prepared_bytes)
    bad_model(where_, ": packed weights and tables exceed the limit of ", model().limits.prepared_bytes, " bytes");
}

void Preparation::charge_weights(uint64_t bytes) {
  charge(bytes);
  result_->weight_bytes += bytes;
}

void Preparation::shared(uint64_t bytes) {
  charge(bytes);
  result_->shared_bytes = std::max<size_t>(result_->shared_bytes, bytes);
}

void Preparation::plan(PreparedOp& p, uint32_t channels) {
  std::vector<Step> chain;
  for (const PreparedStep& s : p.steps) chain.push_back(s.step);
  p.plan = plan_chain(chain.data(), chain.size(), channels);
  if (!p.plan) return;
  charge(p.plan->operands.size() * 4);
  p.steps[0].step.plan = p.plan.get();
}

void Preparation::cut(const OpInfo& op, PreparedOp& p, uint32_t panel, uint32_t mr, uint32_t groups) {
  Cut& c = p.cut;
  c.group_outputs = op.out_channels / groups;
  c.panel = panel;
  c.panels_per_group = (c.group_outputs + panel - 1) / panel;
  c.panels = groups * c.panels_per_group;
  c.whole_rows = straddles(p) || (groups > 1 && c.group_outputs % 32 != 0);
  c.panels_per_unit = writes_bits(p) ? std::lcm(panel, 32u) / panel : 1;
  c.units_per_group = (c.panels_per_group + c.panels_per_unit - 1) / c.panels_per_unit;
  c.units = c.whole_rows ? 1 : groups * c.units_per_group;
  c.row_stride = c.whole_rows ? static_cast<uint32_t>(round_up(op.out_channels, 64)) : c.panels_per_unit * panel;
  // One panel's tile, then the unit's rows.
  c.tile_bytes = static_cast<uint32_t>(round_up(std::max<uint64_t>(uint64_t{mr} * panel * 4, kTileBytes), 64));
  p.plane_scratch = c.tile_bytes + round_up(uint64_t{mr} * c.row_stride * 4, 64);
  scratch(p.plane_scratch + (p.planes == 1 ? 0 : uint64_t{mr} * panel * 4));
}

std::shared_ptr<const Table> Preparation::table(const OpInfo& op, const ValueInfo& in, bool one_tap, size_t pixel_stride, int32_t padding) {
  Geometry g;
  std::array<uint32_t, 3> size{1, 1, 1}, out{1, 1, 1};
  if (!one_tap) {
    g = op.geometry;
    size = {in.dims[0], in.dims[1], in.dims[2]};
    out = op.out;
  }
  std::string key;
  const auto add = [&](const auto& x) { key.append(reinterpret_cast<const char*>(&x), sizeof x); };
  add(g.kernel), add(g.stride), add(g.dilation), add(g.pad_begin), add(g.pad_end), add(size), add(out), add(pixel_stride), add(padding);
  add(static_cast<uint8_t>(g.transposed)), add(static_cast<uint8_t>(g.pad_mode == PadMode::kReplicate));
  auto& shared = tables_[key];
  if (!shared) {
    charge(uint64_t{out[0]} * out[1] * out[2] * (g.taps() + 1) * 4);
    shared = make_table(g, size, out, pixel_stride, padding);
  }
  return shared;
}

}  // namespace bitwright
