#include "executor_chain.h"

#include <algorithm>
#include <type_traits>

namespace bitwright {
namespace {

// A tile's values and constants, but for the pixels: those of the panel from this channel on.
template <class Tile>
void set_values(Tile& t, const ChainPlan& plan, const Step* steps, uint32_t channel) {
  if (plan.bits != ChainPlan::kNoStep) {
    t.bits_stride = steps[plan.bits].value.pixel_stride;
    t.flip = steps[plan.bits].flip == nullptr ? nullptr : steps[plan.bits].flip + channel / 32;
  }
  for (const uint8_t step : {plan.add, plan.store})
    if (step != ChainPlan::kNoStep) t.value_stride = steps[step].value.pixel_stride;
}

template <class T>
const T* from(const T* p, uint32_t channel) {
  return p == nullptr ? nullptr : p + channel;
}

void set_constants(FloatsTile& t, const ChainPlan& plan, int32_t slope, uint32_t channel) {
  t.step = static_cast<float>(slope);
  t.scale = from(plan.scale, channel), t.a = from(plan.a, channel), t.b = from(plan.b, channel);
  t.before = from(plan.before, channel), t.slope = from(plan.slope, channel), t.after = from(plan.after, channel);
  t.threshold = from(plan.threshold, channel);
}

void set_constants(ShortsTile& t, const ChainPlan& plan, int32_t slope, uint32_t channel) {
  t.factor = plan.factor + channel, t.offset = plan.offset + channel;
  t.before = from(plan.before16, channel), t.slope = from(plan.slope16, channel), t.after = from(plan.after16, channel);
  t.threshold = from(plan.threshold16, channel);
  t.doublings = plan.doublings;
  t.shift = plan.shift + static_cast<uint32_t>(slope - 1);
}

}  // namespace

template <class Tile>
Tile chain_tile(const PreparedOp& op, const Step* steps, uint32_t channel) {
  Tile t{};
  set_values(t, *op.plan, steps, channel);
  set_constants(t, *op.plan, op.slope, channel);
  return t;
}

template FloatsTile chain_tile(const PreparedOp&, const Step*, uint32_t);
template ShortsTile chain_tile(const PreparedOp&, const Step*, uint32_t);

template <class Tile>
void begin_values(Tile& t, const ChainPlan& plan, const Step* steps, size_t n, size_t p, uint32_t channel) {
  using Element = std::remove_pointer_t<decltype(t.store)>;
  const auto at = [&](uint8_t step, uint32_t first) { return n * steps[step].value.sample_stride + p * steps[step].value.pixel_stride + first; };
  if (plan.add != ChainPlan::kNoStep) t.add = static_cast<const Element*>(steps[plan.add].value.data) + at(plan.add, channel);
  if (plan.store != ChainPlan::kNoStep) t.store = static_cast<Element*>(steps[plan.store].value.data) + at(plan.store, channel);
  if (plan.bits != ChainPlan::kNoStep) t.bits = static_cast<uint32_t*>(steps[plan.bits].value.data) + at(plan.bits, channel / 32);
}

template void begin_values(FloatsTile&, const ChainPlan&, const Step*, size_t, size_t, uint32_t);
template void begin_values(ShortsTile&, const ChainPlan&, const Step*, size_t, size_t, uint32_t);

namespace {

template <class Tile, class Element>
void run_panels(const RunContext& run, const OpInfo& info, const PreparedOp& op, const Step* steps, size_t first_pixel, uint32_t pixels, uint32_t begin,
                uint32_t end) {
  const Cut& cut = op.cut;
  const BinaryKernel& kernel = *op.binary;
  const ChainPlan& plan = *op.plan;
  const View& in = run.views[info.in];
  const uint32_t per_sample = op.table->pixels, group_words = run.prepared->model->values[info.in].words();
  const auto row_of = [&](uint32_t p, uint32_t channel) {
    return op.chain->origin.as<Element>() + (op.row_classes == 1 ? 0 : op.table->class_of[p] * op.rows_stride) + channel;
  };
  const Element* origin[kMaxTilePixels];
  for (uint32_t panel = begin; panel < end; ++panel) {
    const uint32_t group = panel / cut.panels_per_group, channel = group * cut.group_outputs + panel % cut.panels_per_group * cut.panel;
    const uint8_t* weights = op.weights.as<uint8_t>() + panel * op.panel_bytes;
    Tile t = chain_tile<Tile>(op, steps, channel);
    t.origin = origin;
    std::fill_n(origin, kernel.mr, row_of(0, channel));
    auto n = run.first + static_cast<uint32_t>(first_pixel / per_sample), p = static_cast<uint32_t>(first_pixel % per_sample);
    for (uint32_t left = pixels; left > 0; ++n, p = 0) {
      const uint32_t here = std::min(left, per_sample - p), tiles = (here + kernel.mr - 1) / kernel.mr;
      const uint32_t* base = static_cast<const uint32_t*>(in.data) + n * in.sample_stride + size_t{group} * group_words;
      for (uint32_t tile = 0; tile < tiles; ++tile) {
        const uint32_t count = here / tiles + (tile < here % tiles ? 1 : 0);
        if (op.row_classes > 1)
          for (uint32_t k = 0; k < count; ++k) origin[k] = row_of(p + k, channel);
        begin_values(t, plan, steps, n, p, channel);
        const int32_t* offset = op.table->row(p);
        const BinaryTile counts{&base, &offset, count, op.taps, op.depth, weights, true};
        if constexpr (std::is_same_v<Tile, FloatsTile>)
          kernel.floats(counts, t);
        else
          kernel.shorts(counts, t);
        p += count;
      }
      left -= here;
    }
  }
}

}  // namespace

void run_chain(const RunContext& run, const OpInfo& info, const PreparedOp& op, const StepList& steps, size_t first_pixel, uint32_t pixels, uint32_t panel_begin,
               uint32_t panel_end) {
  if (op.chain->fixed)
    run_panels<ShortsTile, int16_t>(run, info, op, steps.data(), first_pixel, pixels, panel_begin, panel_end);
  else
    run_panels<FloatsTile, float>(run, info, op, steps.data(), first_pixel, pixels, panel_begin, panel_end);
}

}  // namespace bitwright
