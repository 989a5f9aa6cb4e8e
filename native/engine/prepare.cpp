#include "prepare.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <string>

#include "error.h"
#include "prepare_chain.h"
#include "prepare_depthwise.h"
#include "prepare_lines.h"
#include "sliced_rule.h"
#include "split.h"

namespace bitwright {
namespace {

constexpr uint32_t kFlatChannels = 512;
constexpr uint64_t kTileBytes = 16 << 10;  // of counts that an epilogue gets at a time, about: a third of the smallest L1

uint32_t popcount(uint32_t v) {
  v -= (v >> 1) & 0x55555555u;
  v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
  return (((v + (v >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24;
}

template <class T>
const T* constant(const Model& model, uint32_t id) {
  return id == kNone ? nullptr : static_cast<const T*>(model.constants[id].data);
}

uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

// A kernel that covers the map without padding reads it from end to end: one long tap.
bool covers_map(const Geometry& g, const ValueInfo& in) {
  if (g.transposed || g.groups != 1) return false;
  for (int k = 0; k < 3; ++k)
    if (g.kernel[k] != in.dims[k] || g.dilation[k] != 1 || g.pad_begin[k] != 0 || g.pad_end[k] != 0) return false;
  return true;
}

class Preparer {
 public:
  Preparer(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices) : model_(*model), choices_(choices) {
    result_->model = std::move(model);
    result_->kernels = kernels;
  }

  // All ops, or one alone.
  std::shared_ptr<const PreparedModel> run(size_t only = SIZE_MAX) {
    for (const auto& [op, name] : choices_)
      if (op >= model_.ops.size()) fail(Status::kArgument, "kernel '", name, "' is chosen for op ", op, ": the model has ", model_.ops.size());
    result_->ops.reserve(model_.ops.size());
    for (size_t i = 0; i < model_.ops.size(); ++i) {
      const OpInfo& op = model_.ops[i];
      where_ = text("op ", i, " (", name_of(op.opcode), ")");
      PreparedOp p;
      p.kernels = result_->kernels;
      if (only != SIZE_MAX && i != only) {
        result_->ops.push_back(std::move(p));
        continue;
      }
      const auto choice = choices_.find(i);
      if (choice != choices_.end()) choose_for(op, p, choice->second);
      steps(op, p);
      switch (op.opcode) {
        case Opcode::kBconv: binary(op, p); break;
        case Opcode::kFconv: floats(op, p); break;
        case Opcode::kQconv: int8(op, p); break;
        case Opcode::kBmatmul: matmul(op, p); break;
        case Opcode::kCopy: break;
        case Opcode::kBpool: bit_pooling(op, p); break;
        default: elementwise(op, p); break;
      }
      result_->ops.push_back(std::move(p));
    }
    for (size_t i = 0; only == SIZE_MAX && i + 1 < model_.ops.size(); ++i) pool_sums(i);
    return std::move(result_);
  }

 private:
  void charge(uint64_t bytes) {
    result_->bytes += bytes;
    if (result_->bytes > model_.limits.prepared_bytes)
      bad_model(where_, ": packed weights and tables exceed the limit of ", model_.limits.prepared_bytes, " bytes");
  }

  void scratch(uint64_t bytes) { result_->scratch_bytes = std::max<size_t>(result_->scratch_bytes, round_up(bytes, 64)); }

  void steps(const OpInfo& op, PreparedOp& p) {
    for (const StepInfo& s : op.steps) {
      PreparedStep out;
      out.value = s.value;
      out.step.kind = s.kind;
      out.step.n = s.n;
      out.step.p0 = s.p0;
      out.step.p1 = s.p1;
      if (s.kind != StepKind::kThreshold && !is_fixed(s.kind)) out.step.a = constant<float>(model_, s.a);
      if (s.kind == StepKind::kAffine || s.kind == StepKind::kStoreLevels) out.step.b = constant<float>(model_, s.b);
      if (s.writes_bits() && s.kind != StepKind::kStoreLevels) out.step.flip = constant<uint32_t>(model_, s.b);
      if (s.value != kNone) {
        const ValueInfo& v = model_.values[s.value];
        const bool gate = s.kind == StepKind::kMul && s.n == 1;
        out.step.value.pixel_stride = gate ? 0 : v.pixel_stride();
        out.step.value.groups = v.groups;
        out.step.value.group_channels = v.group_channels();
        if (s.kind == StepKind::kAdd) out.step.value_scale = v.scale;
        out.step.value.zero = static_cast<int32_t>(v.zero);
      }
      p.steps.push_back(out);
    }
    result_->max_steps = std::max(result_->max_steps, p.steps.size());
    shorts(op, p);
    if (p.steps.empty()) return;
    p.flat = is_flat(op);
    plan(p, p.flat ? kFlatChannels : channels_of(op));
  }

  void plan(PreparedOp& p, uint32_t channels) {
    std::vector<Step> chain;
    for (const PreparedStep& s : p.steps) chain.push_back(s.step);
    p.plan = plan_chain(chain.data(), chain.size(), channels);
    if (!p.plan) return;
    charge(p.plan->operands.size() * 4);
    p.steps[0].step.plan = p.plan.get();
  }

  // Whether neither the steps nor the layouts tell a MAP's channels from its pixels. Of many channels nothing is gained.
  bool is_flat(const OpInfo& op) const {
    const ValueInfo& in = model_.values[op.in];
    if (op.opcode != Opcode::kMap || in.dtype != DType::kF32 || in.channels() >= 64 || in.pixels() == 1) return false;
    return std::all_of(op.steps.begin(), op.steps.end(), [&](const StepInfo& s) {
      const bool gate = s.kind == StepKind::kMul && s.n == 1;
      return s.a == kNone && s.b == kNone && !gate && (s.value == kNone || model_.values[s.value].dtype != DType::kBits);
    });
  }

  uint32_t channels_of(const OpInfo& op) const { return op.out_channels != 0 ? op.out_channels : model_.values[op.in].channels(); }

  // The file's i32 constants of i16 steps, as the kernels read them.
  void shorts(const OpInfo& op, PreparedOp& p) {
    const auto each = [&](const auto& use) {
      for (size_t k = 0; k < op.steps.size(); ++k) {
        const StepInfo& s = op.steps[k];
        if (!is_fixed(s.kind)) continue;
        if (s.a != kNone) use(s.a, p.steps[k].step.a16);
        if (s.b != kNone && !s.writes_bits()) use(s.b, p.steps[k].step.b16);
      }
    };
    const auto stride = [&](uint32_t id) { return round_up(model_.constants[id].elements + 32, 32); };
    uint64_t elements = 0;
    each([&](uint32_t id, const int16_t*&) { elements += stride(id); });
    if (elements == 0) return;
    charge(elements * 2);
    p.shorts = AlignedBuffer(elements * 2, true);
    auto* to = p.shorts.as<int16_t>();
    each([&](uint32_t id, const int16_t*& field) {
      const auto* from = constant<int32_t>(model_, id);
      std::transform(from, from + model_.constants[id].elements, to, [](int32_t x) { return static_cast<int16_t>(x); });
      field = to;
      to += stride(id);
    });
  }

  // A kernel of the op's own operation: its sum's kernel, not its epilogue.
  void choose_for(const OpInfo& op, PreparedOp& p, const std::string& name) const {
    const char* operation = operation_of(op, model_.values[op.in]);
    if (!*operation) fail(Status::kKernel, where_, ": kernel '", name, "' is chosen, but this kind of op has no choice of kernels");
    for (const KernelFacts& k : list_kernels())
      if (k.name == name && k.operation != operation)
        fail(Status::kKernel, where_, ": kernel '", name, "' is of the operation ", k.operation, "; one of ", operation, " is needed");
    choose_kernel(p.kernels, name);
  }

  static bool is_bits(StepKind kind) { return StepInfo{kind}.writes_bits(); }

  static bool writes_bits(const PreparedOp& p) {
    return std::any_of(p.steps.begin(), p.steps.end(), [](const PreparedStep& s) { return is_bits(s.step.kind); });
  }

  // A bits value with groups that share words with their neighbours' tile: only whole pixels can be written.
  static bool straddles(const PreparedOp& p) {
    return std::any_of(p.steps.begin(), p.steps.end(), [](const PreparedStep& s) {
      return is_bits(s.step.kind) && s.step.value.groups > 1 && s.step.value.group_channels % 32 != 0;
    });
  }

  void cut(const OpInfo& op, PreparedOp& p, uint32_t panel, uint32_t mr, uint32_t groups) {
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

  std::shared_ptr<const Table> table(const OpInfo& op, const ValueInfo& in, bool one_tap, size_t pixel_stride, int32_t padding) {
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

  // Packed panels of all groups, one after the other. canonical(group) gives a group's weights [outputs][taps][depth].
  template <class Word, class LayOut, class Canonical, class PanelBytes>
  void pack(const OpInfo& op, PreparedOp& p, const LayOut& lay_out, const Canonical& canonical, const PanelBytes& panel_bytes) {
    const uint32_t groups = op.geometry.groups;
    p.panel_bytes = panel_bytes(p.taps, p.depth);
    const uint64_t panels = uint64_t{groups} * p.cut.panels_per_group;
    const uint64_t total = checked_product({panels, p.panel_bytes}, model_.limits.prepared_bytes, where_ + ": packed weights");
    charge(total);
    result_->weight_bytes += total;
    p.weights = AlignedBuffer(total);
    for (uint32_t g = 0; g < groups; ++g)
      lay_out(reinterpret_cast<Word*>(p.weights.as<uint8_t>() + uint64_t{g} * p.cut.panels_per_group * p.panel_bytes),
                   canonical(g), p.cut.group_outputs, p.taps, p.depth);
  }

  // The kernel, or its variant with a narrower panel where that leaves at least a quarter fewer lanes empty.
  static const BinaryKernel* fitting(const BinaryKernel* kernel, uint32_t outputs) {
    const auto lanes = [&](const BinaryKernel* k) { return round_up(outputs, k->panel); };
    const BinaryKernel* best = kernel;
    while (kernel->narrow && *kernel->narrow) {
      kernel = *kernel->narrow;
      if (kernel->panel % 32 != 0 && outputs > kernel->panel) break;  // its panels would share words
      if (lanes(kernel) * 4 <= lanes(best) * 3) best = kernel;
    }
    return best;
  }

  // Depthwise: bit c of row [j][t] of the weights belongs to output channel c * multiplier + j.
  void depthwise(const OpInfo& op, PreparedOp& p, const ValueInfo& in) {
    const uint32_t channels = in.channels(), words = in.words(), lanes = depthwise_lanes(words), multiplier = op.out_channels / channels;
    p.table = table(op, in, false, words, static_cast<int32_t>(in.pixels() * words));
    p.taps = op.geometry.taps();
    p.depth = words;
    p.threshold = op.steps.size() == 1 && op.steps[0].kind == StepKind::kThreshold;
    p.slope = op.low == 1 ? 1 : 2;
    p.fill = op.geometry.pad_mode == PadMode::kOne ? 0xFFFFFFFFu : 0;
    p.cut.whole_rows = true;
    p.cut.units = 1;
    p.cut.row_stride = static_cast<uint32_t>(round_up(round_up(channels, 32) * multiplier, 64));
    const uint64_t total = checked_product({multiplier, p.taps, lanes, 4}, model_.limits.prepared_bytes, where_ + ": packed weights");
    charge(total);
    result_->weight_bytes += total;
    p.weights = AlignedBuffer(total);
    const auto* canonical = constant<uint32_t>(model_, op.weight);
    for (uint64_t row = 0; row < uint64_t{multiplier} * p.taps; ++row) spread_depthwise_lanes(p.weights.as<uint32_t>() + row * lanes, canonical + row * words, words);
    const auto weight_bit = [&](uint32_t c, uint32_t t) {
      const uint32_t* row = canonical + (uint64_t{c % multiplier} * p.taps + t) * words;
      return row[c / multiplier / 32] >> (c / multiplier % 32) & 1;
    };
    const uint32_t classes = rows(op, p, 1, 1, weight_bit);
    if (p.threshold) p.flip = p.steps[0].step.flip;
    // In registers only where the output's words are the kernel's.
    const bool plain = p.threshold && (p.steps[0].step.value.groups <= 1 || p.steps[0].step.value.group_channels % 32 == 0);
    p.bit_depthwise = make_depthwise(p, op, in, classes, plain && multiplier == 1 && p.taps <= kMostDepthwiseTaps);
    charge(p.bit_depthwise->bytes());
    scratch(uint64_t{kDepthwisePixels} * (p.cut.row_stride + round_up(channels, 32)) * 2 + 128);
    if (const auto& map = p.bit_depthwise->phases) scratch((map->arranged_words() + size_t{map->most_positions()} * words) * 4);
  }

  void binary(const OpInfo& op, PreparedOp& p) {
    const ValueInfo& in = model_.values[op.in];
    if (op.depthwise(in)) return depthwise(op, p, in);
    const BinaryKernel* kernel = fitting(p.kernels.binary, op.out_channels / op.geometry.groups);
    p.binary = kernel;
    p.planes = in.planes;
    const bool dense = covers_map(op.geometry, in) && (in.planes == 1 || in.pixels() == 1);  // planes lie between the pixels
    const size_t stride = in.pixel_stride();
    p.table = table(op, in, dense, stride, static_cast<int32_t>(in.pixels() * stride));
    p.taps = dense ? 1 : op.geometry.taps();
    p.depth = dense ? op.geometry.taps() * in.words() : in.words();
    p.wide = uint64_t{p.taps} * p.depth * 32 > 65535 || p.planes != 1;
    p.threshold = op.steps.size() == 1 && op.steps[0].kind == StepKind::kThreshold;
    p.slope = op.low == 1 ? 1 : 2;
    p.fill = op.geometry.pad_mode == PadMode::kOne ? 0xFFFFFFFFu : 0;
    const auto* canonical = constant<uint32_t>(model_, op.weight);
    const bool exact_zero = op.low == 0 && op.geometry.pad_mode == PadMode::kZero;
    auto sliced = make_sliced(op, p, in, dense, !exact_zero);
    const BinaryKernel* in_lanes = !sliced && suits_pixels_in_lanes(op, p, exact_zero ? p.table->classes() : 1) ? with_pixels_in_lanes(kernel) : nullptr;
    auto map = in_lanes ? map_of_pixels(op, p, in, dense) : nullptr;
    if (map) p.binary = kernel = in_lanes;
    rows(op, p, int64_t{in.group_channels()} * (p.depth / in.words()), in.top(), [&](uint32_t c, uint32_t t) {
      const uint32_t* w = canonical + (size_t{c} * p.taps + t) * p.depth;
      return std::accumulate(w, w + p.depth, uint32_t{0}, [](uint32_t bits, uint32_t word) { return bits + popcount(word); });
    });
    if (sliced) {
      cut(op, p, sliced->kernel->panel, 8 * sliced->kernel->mr + 1, op.geometry.groups);
      pack_sliced(op, p, *sliced, canonical);
      make_chain(op, p, sliced->kernel);
    } else {
      cut(op, p, kernel->panel, kernel->mr, op.geometry.groups);
      make_chain(op, p, nullptr);
      const auto lay_out = p.chain && !p.chain->fixed ? kernel->pack_in_order : kernel->pack;
      pack<uint32_t>(op, p, lay_out, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, kernel->panel_bytes);
    }
    if (p.threshold) p.flip = p.steps[0].step.flip;
    p.fused_bits = !sliced && p.threshold && kernel->bits && !p.wide && !p.cut.whole_rows && (p.cut.panels_per_unit == 1 || p.cut.panels_per_group == 1);
    if (sliced && sliced->bits) slice_limits(op, p, *sliced);
    p.sliced = std::move(sliced);
    if (map) pixels_in_lanes(op, p, std::move(map));
  }

  void make_chain(const OpInfo& op, PreparedOp& p, const SlicedKernel* sliced) {
    p.chain = bitwright::make_chain(p, op.out_channels, sliced);
    if (p.chain) charge(p.chain->origin.size() + (p.chain->first.size() + p.chain->no_offset.size()) * 4);
  }

  // Whether pixels in the lanes may serve an op, and may be worth it: few outputs, or groups whose outputs share words.
  bool suits_pixels_in_lanes(const OpInfo& op, const PreparedOp& p, uint32_t classes) const {
    constexpr size_t kMostSteps = 4096, kMostClasses = 64;
    if (!p.threshold || p.planes != 1 || p.taps * p.depth > kMostSteps || classes > kMostClasses) return false;
    const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups, next_groups = p.steps[0].step.value.groups;
    if (next_groups > 1 && op.out_channels / next_groups % outputs != 0) return false;  // a panel's bits would be several runs
    return outputs <= 16 || (groups > 1 && outputs % 32 != 0);
  }

  static const BinaryKernel* with_pixels_in_lanes(const BinaryKernel* kernel) {
    while (!(kernel->pixels && *kernel->pixels)) {
      if (!kernel->narrow || !*kernel->narrow) return nullptr;
      kernel = *kernel->narrow;
    }
    return kernel;
  }

  // The map for a kernel with pixels in the lanes, or null: not worth it. Cycles roughly as measured, of a block of 16 pixels, and of a pixel with
  // channels in the lanes, where groups that share words go through memory.
  std::unique_ptr<const PhasedMap> map_of_pixels(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense) const {
    const uint32_t groups = op.geometry.groups, outputs = op.out_channels / groups;
    const uint64_t steps = uint64_t{p.taps} * p.depth, panels = uint64_t{groups} * ((outputs + 15) / 16);
    const uint64_t block = groups * steps * (2 + outputs) + panels * 35, output_words = p.steps[0].step.value.pixel_stride;
    const uint64_t pixel = 11 + panels * (steps * 7 / 8 + p.taps * 9 / 8) + (groups > 1 && outputs % 32 != 0 ? panels * 11 : 0);
    PhasedMap::Problem problem{{}, {1, 1, 1}, {1, 1, 1}, p.depth, true, kPixelLanes, block, output_words == 1 ? 1 : 5 * output_words, pixel * p.table->pixels};
    if (!dense) {
      problem.geometry = op.geometry;
      problem.in = {in.dims[0], in.dims[1], in.dims[2]};
      problem.out = op.out;
      problem.words = static_cast<uint32_t>(in.pixel_stride());
    }
    return PhasedMap::make(problem);
  }

  // After the rows of limits.
  void pixels_in_lanes(const OpInfo& op, PreparedOp& p, std::unique_ptr<const PhasedMap> phases) {
    const bool one = p.row_classes == 1;
    auto own = std::make_unique<PreparedPixels>();
    own->kernel = *p.binary->pixels;
    own->phases = std::move(phases);
    const PhasedMap& map = *own->phases;
    own->classes = one ? 1 : p.row_classes <= 16 ? 16 : p.row_classes <= 32 ? 32 : 64;
    const ValueRef& to = p.steps[0].step.value;
    const uint32_t of_group = op.out_channels / to.groups, bits_of_group = static_cast<uint32_t>(round_up(of_group, 32));
    const uint32_t panels = p.cut.panels;
    charge(uint64_t{panels} * (own->origin_count() * 4 + 8) + map.table_bytes() + uint64_t{p.taps} * p.depth * 4 + (one ? 0 : map.bands() * (uint64_t{map.most_positions()} + kPixelLanes) * 4));
    own->origins = AlignedBuffer(panels * own->origin_count() * 4, true);
    for (uint32_t panel = 0; panel < panels; ++panel) {
      const uint32_t inside = panel % p.cut.panels_per_group * 16, first = panel / p.cut.panels_per_group * p.cut.group_outputs + inside;
      const uint32_t outputs = std::min(16u, p.cut.group_outputs - inside);
      own->place.push_back(first / of_group * bits_of_group + first % of_group);
      uint32_t flip = 0;
      for (uint32_t j = 0; j < outputs; ++j) {
        if (p.flip) flip |= (p.flip[(first + j) / 32] >> ((first + j) % 32) & 1) << j;
        for (uint32_t k = 0; k < p.row_classes; ++k)
          own->origins.as<int32_t>()[panel * own->origin_count() + size_t{j} * own->classes + k] = -1 - p.rows.as<int32_t>()[k * p.rows_stride + first + j];
      }
      own->flip.push_back(flip);
    }
    own->positions = round_up(map.most_positions(), kPixelLanes);
    for (uint32_t band = 0; !one && band < map.bands(); ++band)
      for (uint32_t i = 0; i < own->positions; ++i) {
        const uint32_t pixel = map.pixel(band, i);
        own->pixel_class.push_back(pixel == kNone ? 0 : p.table->class_of[pixel]);
      }
    for (int32_t tap : map.taps())
      for (uint32_t k = 0; k < p.depth; ++k) own->offsets.push_back(tap + static_cast<int32_t>(k * map.plane()));
    scratch((round_up(map.arranged_words(), 16) + to.pixel_stride * own->positions) * 4);  // the input, and the bits of the band
    p.pixels = std::move(own);
  }

  // A convolution with a kernel of one tap whose weights, B, are laid out when it runs.
  void matmul(const OpInfo& op, PreparedOp& p) {
    const ValueInfo& in = model_.values[op.in];
    const uint32_t outputs = op.out_channels / op.geometry.groups;
    const BinaryKernel* kernel = fitting(p.kernels.binary, outputs);
    if (kernel->panel % 32 != 0) kernel = p.kernels.binary;  // B is transposed by whole words
    if (kernel->panel % 32 != 0) kernel = find_binary_kernel(kernel->isa);  // a narrow one was forced
    p.binary = kernel;
    p.planes = in.planes;
    p.table = table(op, in, false, in.pixel_stride(), 0);
    p.taps = 1;
    p.depth = in.words();
    p.wide = uint64_t{p.depth} * 32 > 65535 || p.planes != 1;
    p.slope = op.low == 1 ? 1 : 2;
    cut(op, p, kernel->panel, kernel->mr, op.geometry.groups);
    p.panel_bytes = kernel->panel_bytes(1, p.depth);
    const uint64_t limit = model_.limits.prepared_bytes;
    const std::string what = where_ + ": room for the right side";
    const uint64_t panels = checked_product({p.cut.panels, p.panel_bytes}, limit, what);
    p.rows_of_rhs = round_up(panels, 64);
    p.origins_of_rhs = p.rows_of_rhs + round_up(checked_product({p.cut.panels, kernel->panel, p.depth, 4}, limit, what), 64);
    const uint64_t shared = round_up(p.origins_of_rhs + (uint64_t{op.out_channels} + kMaxPanel) * 4, 64);
    charge(shared);
    result_->shared_bytes = std::max<size_t>(result_->shared_bytes, shared);
  }

  // The sliced kernel's part, or null if the popcount kernel takes the layer.
  std::unique_ptr<PreparedSliced> make_sliced(const OpInfo& op, const PreparedOp& p, const ValueInfo& in, bool dense, bool one_class) const {
    const SlicedKernel* kernel = p.kernels.sliced;
    const Geometry& g = op.geometry;
    if (!kernel || p.planes != 1 || straddles(p) || (g.groups > 1 && op.out_channels / g.groups % 32 != 0)) return nullptr;
    auto s = std::make_unique<PreparedSliced>();
    s->kernel = kernel;
    const bool whole_map = dense && in.pixels() > 1;
    s->slice = BitSlice(p.taps, whole_map ? p.depth * 32 : in.group_channels(), p.depth);
    if (!p.kernels.sliced_forced && !worth_slicing(op, p, s->slice)) return nullptr;
    const SlicedProblem problem{g, {in.dims[0], in.dims[1], in.dims[2]}, op.out, dense, p.table.get(), in.pixel_stride(),
                                static_cast<int32_t>(in.pixels() * in.pixel_stride()), one_class};
    s->layout = make_sliced_layout(problem, s->slice);
    if (!s->layout) return nullptr;
    s->bits = p.threshold;
    return s;
  }

  void pack_sliced(const OpInfo& op, PreparedOp& p, PreparedSliced& s, const uint32_t* canonical) {
    p.panel_bytes = s.kernel->panel_bytes(s.slice);
    const uint64_t total = checked_product({uint64_t{op.geometry.groups} * p.cut.panels_per_group, p.panel_bytes}, model_.limits.prepared_bytes,
                                           where_ + ": packed weights");
    charge(total + s.layout->table_bytes());
    result_->weight_bytes += total;
    s.memory_at = p.plane_scratch;
    scratch(s.memory_at + s.layout->memory_bytes());
    p.weights = AlignedBuffer(total);
    const size_t row = size_t{p.cut.group_outputs} * p.taps * p.depth;
    for (uint32_t g = 0; g < op.geometry.groups; ++g)
      s.kernel->pack(p.weights.as<uint8_t>() + uint64_t{g} * p.cut.panels_per_group * p.panel_bytes, canonical + g * row, p.cut.group_outputs, s.slice);
  }

  // The limits of rows() and the flips, for the bit-sliced comparison.
  void slice_limits(const OpInfo& op, const PreparedOp& p, PreparedSliced& s) {
    const size_t one = s.kernel->limit_bytes(s.slice), classes = p.row_classes;
    const size_t panels = size_t{op.geometry.groups} * p.cut.panels_per_group;
    s.limit_bytes = one * classes;
    charge(panels * (s.limit_bytes + s.kernel->panel));
    s.limits = AlignedBuffer(panels * s.limit_bytes);
    s.flips = AlignedBuffer(panels * s.kernel->panel);
    std::vector<uint8_t> flip(s.kernel->panel);
    for (size_t panel = 0; panel < panels; ++panel) {
      const auto group = static_cast<uint32_t>(panel / p.cut.panels_per_group);
      const auto place = static_cast<uint32_t>(panel % p.cut.panels_per_group * p.cut.panel);
      const uint32_t first = group * p.cut.group_outputs + place, channels = std::min(p.cut.panel, p.cut.group_outputs - place);
      for (size_t k = 0; k < classes; ++k)
        s.kernel->pack_limits(s.limits.as<uint8_t>() + panel * s.limit_bytes + k * one, p.rows.as<int32_t>() + k * p.rows_stride + first, channels, s.slice);
      for (uint32_t c = 0; c < channels; ++c) flip[c] = p.flip && ((p.flip[(first + c) / 32] >> ((first + c) % 32)) & 1) != 0;
      s.kernel->pack_flip(s.flips.as<uint8_t>() + panel * s.kernel->panel, flip.data(), channels);
    }
  }

  // origin[class][c], so that acc = origin - slope*count exactly. The kernel counts differing bits over all taps, a tap in the padding as the
  // padding pixel's bits. ±1: acc = K - 2*count. With a true zero the missing taps, read as bits 0, added one count per weight bit 1 and none of
  // their products belongs to acc: origin = K of the present taps + 2*(weight bits of the missing taps). {0,1}: acc = sum over taps of
  // 2*p(a & w) - p(a) = p(w) - p(a ^ w), so origin is the number of weight bits and a padding of 0 is exact by itself. Planes: the same, times
  // their weights 1, 2, 4, ..., which sum to the highest level.
  // weight_bits(c, t): how many bits of channel c's weights are 1 in tap t. Returns the number of classes.
  template <class WeightBits>
  uint32_t rows(const OpInfo& op, PreparedOp& p, int64_t bits_per_tap, int64_t top, const WeightBits& weight_bits) {
    const bool exact_zero = op.low == 0 && op.geometry.pad_mode == PadMode::kZero;
    const uint32_t classes = exact_zero ? p.table->classes() : 1;
    const uint32_t channels = op.out_channels;
    p.rows_stride = round_up(channels, 64);
    p.row_classes = classes;
    charge(uint64_t{classes} * p.rows_stride * 4);
    p.rows = AlignedBuffer((uint64_t{classes} * p.rows_stride + kMaxPanel) * 4, true);  // a kernel reads whole panels
    std::vector<int32_t> tap_bits(p.taps);
    for (uint32_t c = 0; c < channels; ++c) {
      int64_t all = 0;
      for (uint32_t t = 0; t < p.taps; ++t) all += tap_bits[t] = static_cast<int32_t>(weight_bits(c, t));
      for (uint32_t k = 0; k < classes; ++k) {
        int64_t origin = op.low == 1 ? all * top : bits_per_tap * p.taps;
        if (exact_zero)
          for (uint32_t t : p.table->missing[k]) origin += 2 * int64_t{tap_bits[t]} - bits_per_tap;
        p.rows.as<int32_t>()[k * p.rows_stride + c] = static_cast<int32_t>(p.threshold ? limit(op, p, c, origin) : origin);
      }
    }
    return classes;
  }

  // acc >= T  <=>  count <= floor((origin - T) / slope), cut to what a count can be; -1: never.
  int64_t limit(const OpInfo& op, const PreparedOp& p, uint32_t c, int64_t origin) const {
    const int64_t room = origin - constant<int32_t>(model_, op.steps[0].a)[c];
    if (room < 0) return -1;
    return std::min<int64_t>(room / p.slope, int64_t{p.taps} * p.depth * 32 * model_.values[op.in].top());
  }

  void floats(const OpInfo& op, PreparedOp& p) {
    const ValueInfo& in = model_.values[op.in];
    if (minimal(op, p, in)) return;
    const FloatKernel* kernel = p.kernels.floats;
    const bool dense = covers_map(op.geometry, in);
    p.table = table(op, in, dense, in.channels(), -1);
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
      charge(p.gather->bytes());
      p.taps = p.gather->lines;
      p.depth = p.gather->line;
    }
    cut(op, p, kernel->panel, kernel->mr, p.depthwise ? 1 : op.geometry.groups);
    if (p.gather) {
      p.gather_at = p.plane_scratch;
      scratch(p.gather_at + uint64_t{kChunk} * p.gather->row * sizeof(float));
    }
    p.chain = make_float_chain(p, op.out_channels);
    if (p.chain) charge(p.chain->first.size() * 4);
    const auto panel_bytes = [&](uint32_t taps, uint32_t depth) { return kernel->panel_floats(taps, depth) * sizeof(float); };
    if (model_.constants[op.weight].dtype == ConstType::kF32) {
      const auto* canonical = constant<float>(model_, op.weight);
      if (p.depthwise) return pack_depthwise(p, canonical);
      pack<float>(op, p, kernel->pack, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, panel_bytes);
      return;
    }
    std::vector<float> expanded;
    if (p.depthwise) return pack_depthwise(p, expand_all(op, p, expanded));
    pack<float>(op, p, kernel->pack, [&](uint32_t g) { return expand(op, p, g, in.channels() / op.geometry.groups, expanded); }, panel_bytes);
  }

  // Minimal filtering, where it is asked for or expected to be faster.
  bool minimal(const OpInfo& op, PreparedOp& p, const ValueInfo& in) {
    const MinimalKernel* kernel = p.kernels.minimal;
    if (!kernel || straddles(p) || !suits_minimal(op, in)) return false;
    auto own = std::make_unique<PreparedMinimal>();
    own->kernel = kernel;
    own->layout = make_minimal_layout(op, in, *kernel);
    const MinimalLayout& layout = own->layout;
    if (!p.kernels.minimal_forced && !worth_minimal(layout, op, p.kernels.floats->panel)) return false;
    const uint64_t bytes = checked_product({layout.weight_floats(), sizeof(float)}, model_.limits.prepared_bytes, where_ + ": transformed weights");
    charge(bytes + layout.table_bytes());
    result_->weight_bytes += bytes;
    scratch(layout.scratch * sizeof(float));
    p.taps = op.geometry.taps();
    p.depth = in.channels();
    p.cut.group_outputs = op.out_channels;
    p.weights = AlignedBuffer(bytes);
    std::vector<float> expanded;
    const bool floats = model_.constants[op.weight].dtype == ConstType::kF32;
    layout.pack(p.weights.as<float>(), floats ? constant<float>(model_, op.weight) : expand(op, p, 0, in.channels(), expanded));
    p.minimal = std::move(own);
    return true;
  }

  void int8(const OpInfo& op, PreparedOp& p) {
    const ValueInfo& in = model_.values[op.in];
    const Int8Kernel* kernel = p.kernels.int8;
    const auto* canonical = constant<int8_t>(model_, op.weight);
    const uint32_t groups = op.geometry.groups;
    const bool dense = covers_map(op.geometry, in);
    p.table = table(op, in, dense, in.pixel_stride(), static_cast<int32_t>(in.pixels() * in.pixel_stride()));
    p.taps = dense ? 1 : op.geometry.taps();
    p.depth = dense ? op.geometry.taps() * in.channels() : in.channels() / groups;
    p.fill = in.zero;
    p.depthwise = is_depthwise(op, in);
    origins(op, p, canonical, in.zero);
    if (p.depthwise) {
      cut(op, p, kernel->panel, kernel->mr, 1);
      pack_depthwise(p, canonical);
      return;
    }
    const uint32_t width = op.geometry.kernel[2];
    if (!dense && groups == 1 && width > 1 && (p.depth < 16 || (p.depth % 4 != 0 && p.depth < 32))) {
      cut(op, p, kernel->panel, kernel->mr, groups);
      p.lines = make_lines(op, in, p, kMaxTilePixels);
      if (!p.lines) {
        p.gather = make_gather(*p.table, p.depth, width, static_cast<int32_t>(in.pixels() * in.pixel_stride()));
        charge(p.gather->bytes());
      }
      p.taps = p.lines ? p.lines->lines : p.gather->lines;
      p.depth = p.lines ? p.lines->line : p.gather->line;
    }
    cut(op, p, kernel->panel, kernel->mr, groups);
    if (p.lines) {
      charge(p.lines->zeros.size());
      scratch(p.lines->bytes);
    }
    if (p.gather) {
      p.gather_at = p.plane_scratch;
      scratch(p.gather_at + uint64_t{kChunk} * p.gather->row + 64);
    }
    pack<int8_t>(op, p, kernel->pack, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, kernel->panel_bytes);
  }

  // An int8 convolution of few channels and the max pooling behind it: pooling its sums, a quarter of them goes through the steps. Only bands run it.
  void pool_sums(size_t index) {
    const OpInfo &op = model_.ops[index], &pool = model_.ops[index + 1];
    PreparedOp& p = result_->ops[index];
    if (!p.lines || p.kernels.int8->maxima == nullptr || !pools_maxima(pool) || op.steps.back().value != pool.in) return;
    const ValueInfo& map = model_.values[pool.in];
    const std::vector<PreparedStep>& behind = result_->ops[index + 1].steps;
    const bool shorts = is_fixed(behind[0].step.kind) && behind[0].step.kind != StepKind::kQuantizeI16;
    if (shorts != (map.dtype == DType::kI16) || straddles(result_->ops[index + 1])) return;
    for (size_t k = 1; k < 3; ++k)
      if (pool.out[k] > (map.dims[k] + 1) / 2) return;  // a last window of what is a window's first line
    const auto falling = falling_channels(p, map.dtype, op.out_channels);
    if (!falling) return;
    std::vector<int8_t> weights(constant<int8_t>(model_, op.weight), constant<int8_t>(model_, op.weight) + model_.constants[op.weight].elements);
    const size_t row = weights.size() / op.out_channels;
    for (size_t i = 0; i < weights.size(); ++i)
      if ((*falling)[i / row]) {
        if (weights[i] == INT8_MIN) return;
        weights[i] = static_cast<int8_t>(-weights[i]);
      }
    where_ = text("op ", index, " (", name_of(op.opcode), ")");
    auto own = std::make_shared<PreparedOp>();
    own->kernels = p.kernels;
    own->table = p.table;
    own->cut = p.cut;
    own->taps = p.taps;
    own->depth = p.depth;
    own->fill = p.fill;
    own->rows_stride = p.rows_stride;
    own->row_classes = p.row_classes;
    own->lines = make_lines(op, model_.values[op.in], *own, 0);
    if (!own->lines) return;
    charge(own->lines->zeros.size() + p.rows.size());
    scratch(own->lines->bytes);
    own->rows = AlignedBuffer(p.rows.size(), true);
    for (uint32_t k = 0; k < p.row_classes; ++k)
      for (uint32_t c = 0; c < op.out_channels; ++c) {
        const int32_t origin = p.rows.as<int32_t>()[k * p.rows_stride + c];
        own->rows.as<int32_t>()[k * p.rows_stride + c] = (*falling)[c] ? -origin : origin;
      }
    pack<int8_t>(op, *own, p.kernels.int8->pack, [&](uint32_t) { return weights.data(); }, p.kernels.int8->panel_bytes);
    own->steps.assign(p.steps.begin(), p.steps.end() - 1);
    own->steps.insert(own->steps.end(), behind.begin(), behind.end());
    for (PreparedStep& s : own->steps) s.step.plan = nullptr;
    if (Step& first = own->steps[0].step; first.kind == StepKind::kAffine) {
      charge(uint64_t{op.out_channels} * sizeof(float));
      for (uint32_t c = 0; c < op.out_channels; ++c) {
        const float a = first.a != nullptr ? first.a[c] : first.p0;
        own->factors.push_back((*falling)[c] ? -a : a);
      }
      first.a = own->factors.data();
    }
    result_->max_steps = std::max(result_->max_steps, own->steps.size());
    plan(*own, op.out_channels);
    p.pooled = std::move(own);
  }

  // acc = sum (q - zero) * w = sum q * w - zero * sum w; modulo 2^32, like the kernels' sums. A tap in the padding reads the zero point, so that
  // nothing of it is left; what it adds instead is in the row of the pixel's class.
  void origins(const OpInfo& op, PreparedOp& p, const int8_t* weights, uint32_t zero) {
    const size_t row = size_t{p.taps} * p.depth;
    const auto* padding = constant<int32_t>(model_, op.padding);
    const uint32_t classes = padding ? p.table->classes() : 1;
    p.rows_stride = op.out_channels;
    p.row_classes = classes;
    const uint64_t bytes = checked_product({classes, p.rows_stride, 4}, model_.limits.prepared_bytes, where_ + ": rows of the padding") + kMaxPanel * 4;
    charge(bytes);
    p.rows = AlignedBuffer(bytes, true);
    for (uint32_t c = 0; c < op.out_channels; ++c) {
      int32_t sum = 0;
      for (size_t k = 0; k < row; ++k) sum += weights[c * row + k];
      for (uint32_t k = 0; k < classes; ++k) {
        int32_t origin = -static_cast<int32_t>(zero) * sum;
        if (padding)
          for (uint32_t t : p.table->missing[k]) origin += padding[size_t{t} * op.out_channels + c];
        p.rows.as<int32_t>()[k * p.rows_stride + c] = origin;
      }
    }
  }

  static bool is_depthwise(const OpInfo& op, const ValueInfo& in) {
    return op.geometry.groups > 1 && op.geometry.groups == in.channels() && op.out_channels == in.channels();
  }

  // [panels][taps][panel] from [channels][taps].
  template <class Weight>
  void pack_depthwise(PreparedOp& p, const Weight* canonical) {
    const uint32_t panel = p.cut.panel, channels = p.cut.group_outputs;
    p.panel_bytes = round_up(size_t{p.taps} * panel * sizeof(Weight), 64);
    const uint64_t total = uint64_t{p.cut.panels_per_group} * p.panel_bytes;
    charge(total);
    result_->weight_bytes += total;
    p.weights = AlignedBuffer(total, true);
    for (uint32_t c = 0; c < channels; ++c)
      for (uint32_t t = 0; t < p.taps; ++t)
        reinterpret_cast<Weight*>(p.weights.as<uint8_t>() + c / panel * p.panel_bytes)[size_t{t} * panel + c % panel] = canonical[size_t{c} * p.taps + t];
  }

  // All groups' 1-bit weights of a depthwise convolution: rows of one channel.
  const float* expand_all(const OpInfo& op, const PreparedOp& p, std::vector<float>& out) const {
    const auto* bits = constant<uint32_t>(model_, op.weight);
    for (size_t r = 0; r < size_t{op.out_channels} * p.taps; ++r) out.push_back(bits[r] & 1 ? 1.0f : -1.0f);
    return out.data();
  }

  // 1-bit weights of one group as -1 and 1. `row`: channels of a tap.
  const float* expand(const OpInfo& op, const PreparedOp& p, uint32_t group, uint32_t row, std::vector<float>& out) const {
    const size_t rows = size_t{p.cut.group_outputs} * op.geometry.taps(), words = (size_t{row} + 31) / 32;
    const uint32_t* bits = constant<uint32_t>(model_, op.weight) + group * rows * words;
    out.resize(rows * row);
    float* to = out.data();
    for (size_t r = 0; r < rows; ++r, bits += words)
      for (uint32_t c = 0; c < row; ++c) *to++ = (bits[c / 32] >> (c % 32)) & 1 ? 1.0f : -1.0f;
    return out.data();
  }

  // A tap in the padding reads an element of its window once more, which changes no OR.
  void bit_pooling(const OpInfo& op, PreparedOp& p) {
    const ValueInfo& in = model_.values[op.in];
    const Geometry& g = op.geometry;
    charge(uint64_t{op.out_pixels()} * (g.taps() + 1) * 4);
    const auto own = std::make_shared<Table>(*make_table(g, {in.dims[0], in.dims[1], in.dims[2]}, op.out, in.pixel_stride(), -1));
    for (size_t row = 0; row < own->offsets.size(); row += own->taps) {
      int32_t* offsets = own->offsets.data() + row;
      const int32_t inside = *std::find_if(offsets, offsets + own->taps, [](int32_t o) { return o >= 0; });
      std::replace(offsets, offsets + own->taps, -1, inside);
    }
    p.taps = own->taps;
    p.table = own;
    p.mask.assign(in.pixel_stride(), 0);
    const auto* flip = constant<uint32_t>(model_, op.flip);
    for (uint32_t c = 0; flip && c < in.channels(); ++c) {
      const uint32_t place = c % in.group_channels();
      p.mask[size_t{c / in.group_channels()} * in.words() + place / 32] |= ((flip[c / 32] >> (c % 32)) & 1) << (place % 32);
    }
  }

  // POOL, MAP, EMBED: rows of a tile stay in L1.
  void elementwise(const OpInfo& op, PreparedOp& p) {
    const uint32_t channels = op.opcode == Opcode::kEmbed ? op.out_channels : model_.values[op.in].channels();
    p.channel_block = straddles(p) ? channels : p.flat ? kFlatChannels : std::min(channels, kFlatChannels);
    p.pixel_block = std::clamp(4096u / p.channel_block, 1u, kMaxTilePixels);
    scratch(uint64_t{p.pixel_block} * p.channel_block * 4);
    if (op.opcode != Opcode::kPool) return;
    const ValueInfo& in = model_.values[op.in];
    p.taps = op.geometry.taps();
    charge((uint64_t{op.out[0]} + op.out[1] + op.out[2]) * sizeof(PoolWindow));
    p.windows = std::make_shared<const PoolAxes>(pool_axes(op.geometry, {in.dims[0], in.dims[1], in.dims[2]}, op.out));
  }

  const Model& model_;
  const Choices& choices_;
  std::shared_ptr<PreparedModel> result_ = std::make_shared<PreparedModel>();
  std::map<std::string, std::shared_ptr<const Table>> tables_;
  std::string where_;
};

}  // namespace

const char* operation_of(const OpInfo& op, const ValueInfo& input) {
  switch (op.opcode) {
    case Opcode::kBconv: return op.depthwise(input) ? "bdepthwise" : "bconv";
    case Opcode::kBmatmul: return "bconv";
    case Opcode::kFconv: return "fconv";
    case Opcode::kQconv: return "qconv";
    default: return "";
  }
}

std::shared_ptr<const PreparedModel> prepare(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices) {
  return Preparer(std::move(model), kernels, choices).run();
}

std::shared_ptr<const PreparedModel> prepare_op(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices, size_t op) {
  return Preparer(std::move(model), kernels, choices).run(op);
}

}  // namespace bitwright
