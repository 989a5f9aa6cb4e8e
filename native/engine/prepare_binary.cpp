#include <algorithm>
#include <numeric>

#include "joined_bits.h"
#include "prepare_chain.h"
#include "prepare_depthwise.h"
#include "prepare_layers.h"
#include "prepare_pixels.h"
#include "prepare_sliced.h"
#include "split.h"

namespace bitwright {
namespace {

uint32_t popcount(uint32_t v) {
  v -= (v >> 1) & 0x55555555u;
  v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
  return (((v + (v >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24;
}

// The tile that the kernel has for the layer.
const BinaryKernel* fitting_tile(const BinaryKernel* kernel, const PreparedOp& p) { return kernel->tile_for ? kernel->tile_for(p.taps, p.depth) : kernel; }

// The kernel, or its variant with a narrower panel where that leaves at least a quarter fewer lanes empty.
const BinaryKernel* fitting(const BinaryKernel* kernel, uint32_t outputs) {
  const auto lanes = [&](const BinaryKernel* k) { return round_up(outputs, k->panel); };
  const BinaryKernel* best = kernel;
  while (kernel->narrow && *kernel->narrow) {
    kernel = *kernel->narrow;
    if (kernel->panel % 32 != 0 && outputs > kernel->panel) break;  // its panels would share words
    if (lanes(kernel) * 4 <= lanes(best) * 3) best = kernel;
  }
  return best;
}

// acc >= T  <=>  count <= floor((origin - T) / slope), cut to what a count can be; -1: never.
int64_t limit(const Preparation& all, const OpInfo& op, const PreparedOp& p, uint32_t c, int64_t origin) {
  const int64_t room = origin - all.constant<int32_t>(op.steps[0].a)[c];
  if (room < 0) return -1;
  return std::min<int64_t>(room / p.slope, int64_t{p.taps} * p.depth * 32 * all.model().values[op.in].top());
}

// origin[class][c], so that acc = origin - slope*count exactly. The kernel counts differing bits over all taps, a tap in the padding as the
// padding pixel's bits. ±1: acc = K - 2*count. With a true zero the missing taps, read as bits 0, added one count per weight bit 1 and none of
// their products belongs to acc: origin = K of the present taps + 2*(weight bits of the missing taps). {0,1}: acc = sum over taps of
// 2*p(a & w) - p(a) = p(w) - p(a ^ w), so origin is the number of weight bits and a padding of 0 is exact by itself. Planes: the same, times
// their weights 1, 2, 4, ..., which sum to the highest level.
// weight_bits(c, t): how many bits of channel c's weights are 1 in tap t. Returns the number of classes.
template <class WeightBits>
uint32_t rows(Preparation& all, const OpInfo& op, PreparedOp& p, int64_t bits_per_tap, int64_t top, const WeightBits& weight_bits) {
  const bool exact_zero = op.low == 0 && op.geometry.pad_mode == PadMode::kZero;
  const uint32_t classes = exact_zero ? p.table->classes() : 1;
  const uint32_t channels = op.out_channels;
  p.row_classes = classes;
  all.charge(uint64_t{classes} * p.rows_stride * 4);
  p.rows = AlignedBuffer((uint64_t{classes} * p.rows_stride + kMaxPanel) * 4, true);  // a kernel reads whole panels
  std::vector<int32_t> tap_bits(p.taps);
  for (uint32_t c = 0; c < channels; ++c) {
    int64_t sum = 0;
    for (uint32_t t = 0; t < p.taps; ++t) sum += tap_bits[t] = static_cast<int32_t>(weight_bits(c, t));
    for (uint32_t k = 0; k < classes; ++k) {
      int64_t origin = op.low == 1 ? sum * top : bits_per_tap * p.taps;
      if (exact_zero)
        for (uint32_t t : p.table->missing[k]) origin += 2 * int64_t{tap_bits[t]} - bits_per_tap;
      p.rows.as<int32_t>()[k * p.rows_stride + c] = static_cast<int32_t>(p.threshold ? limit(all, op, p, c, origin) : origin);
    }
  }
  return classes;
}

// Depthwise: bit c of row [j][t] of the weights belongs to output channel c * multiplier + j.
void depthwise(Preparation& all, const OpInfo& op, PreparedOp& p, const ValueInfo& in) {
  const uint32_t channels = in.channels(), words = in.words(), lanes = depthwise_lanes(words), multiplier = op.out_channels / channels;
  p.table = all.table(op, in, false, words, static_cast<int32_t>(in.pixels() * words));
  p.taps = op.geometry.taps();
  p.depth = words;
  p.threshold = op.steps.size() == 1 && op.steps[0].kind == StepKind::kThreshold;
  p.slope = op.low == 1 ? 1 : 2;
  p.fill = op.geometry.pad_mode == PadMode::kOne ? 0xFFFFFFFFu : 0;
  p.cut.whole_rows = true;
  p.cut.units = 1;
  p.cut.row_stride = static_cast<uint32_t>(round_up(round_up(channels, 32) * multiplier, 64));
  const uint64_t total = checked_product({multiplier, p.taps, lanes, 4}, all.model().limits.prepared_bytes, all.where() + ": packed weights");
  all.charge_weights(total);
  p.weights = AlignedBuffer(total);
  const auto* canonical = all.constant<uint32_t>(op.weight);
  for (uint64_t row = 0; row < uint64_t{multiplier} * p.taps; ++row) spread_depthwise_lanes(p.weights.as<uint32_t>() + row * lanes, canonical + row * words, words);
  const auto weight_bit = [&](uint32_t c, uint32_t t) {
    const uint32_t* row = canonical + (uint64_t{c % multiplier} * p.taps + t) * words;
    return row[c / multiplier / 32] >> (c / multiplier % 32) & 1;
  };
  const uint32_t classes = rows(all, op, p, 1, 1, weight_bit);
  if (p.threshold) p.flip = p.steps[0].step.flip;
  // In registers only where the output's words are the kernel's.
  const bool plain = p.threshold && (p.steps[0].step.value.groups <= 1 || p.steps[0].step.value.group_channels % 32 == 0);
  p.bit_depthwise = make_depthwise(p, op, in, classes, plain && multiplier == 1 && p.taps <= kMostDepthwiseTaps);
  all.charge(p.bit_depthwise->bytes());
  all.scratch(uint64_t{kDepthwisePixels} * (p.cut.row_stride + round_up(channels, 32)) * 2 + 128);
  if (const auto& map = p.bit_depthwise->phases) all.scratch((map->arranged_words() + size_t{map->most_positions()} * words) * 4);
}

// Whether tiles should end with the samples. The addresses of pixels of one sample cost about a cycle less a tap; a tile's weights, as vectors of 16 channels,
// about one each, and it has some 3 more of its own a word (Zen 5).
bool tiles_apart(const PreparedOp& p) {
  const uint64_t pixels = p.table->pixels, mr = p.binary->mr, empty = (pixels + mr - 1) / mr * mr - pixels;
  return pixels > 1 && empty * p.depth * (p.binary->panel / 16 + 3) <= std::min(pixels, mr) * mr;
}

void add_chain(Preparation& all, const OpInfo& op, PreparedOp& p, const SlicedKernel* sliced) {
  p.chain = make_chain(p, op.out_channels, sliced);
  if (p.chain) all.charge(p.chain->origin.size());
}

}  // namespace

void prepare_binary(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const ValueInfo& in = all.model().values[op.in];
  p.rows_stride = round_up(op.out_channels, 64);
  if (op.depthwise(in)) return depthwise(all, op, p, in);
  const BinaryKernel* kernel = fitting(p.kernels.binary, op.out_channels / op.geometry.groups);
  p.binary = kernel;
  p.planes = in.planes;
  const bool dense = covers_map(op.geometry, in) && (in.planes == 1 || in.pixels() == 1);  // planes lie between the pixels
  const size_t stride = in.pixel_stride();
  p.table = all.table(op, in, dense, stride, static_cast<int32_t>(in.pixels() * stride));
  p.taps = dense ? 1 : op.geometry.taps();
  p.depth = dense ? op.geometry.taps() * in.words() : in.words();
  p.wide = uint64_t{p.taps} * p.depth * 32 > 65535 || p.planes != 1;
  p.threshold = op.steps.size() == 1 && op.steps[0].kind == StepKind::kThreshold;
  p.slope = op.low == 1 ? 1 : 2;
  p.fill = op.geometry.pad_mode == PadMode::kOne ? 0xFFFFFFFFu : 0;
  const auto* canonical = all.constant<uint32_t>(op.weight);
  const bool exact_zero = op.low == 0 && op.geometry.pad_mode == PadMode::kZero;
  auto sliced = make_sliced(all, op, p, in, dense, !exact_zero);
  const uint32_t classes = exact_zero ? p.table->classes() : 1;
  const BinaryKernel* in_lanes = !sliced && suits_pixels_in_lanes(op, p, classes) ? with_pixels_in_lanes(kernel) : nullptr;
  auto map = in_lanes ? map_of_pixels(op, p, in, dense, classes) : nullptr;
  p.binary = kernel = map ? in_lanes : fitting_tile(kernel, p);
  rows(all, op, p, int64_t{in.group_channels()} * (p.depth / in.words()), in.top(), [&](uint32_t c, uint32_t t) {
    const uint32_t* w = canonical + (size_t{c} * p.taps + t) * p.depth;
    return std::accumulate(w, w + p.depth, uint32_t{0}, [](uint32_t bits, uint32_t word) { return bits + popcount(word); });
  });
  if (sliced) {
    all.cut(op, p, sliced->kernel->panel, 8 * sliced->kernel->mr + 1, op.geometry.groups);
    pack_sliced(all, op, p, *sliced, canonical);
    add_chain(all, op, p, sliced->kernel);
  } else {
    all.cut(op, p, kernel->panel, kernel->mr, op.geometry.groups);
    add_chain(all, op, p, nullptr);
    const auto lay_out = p.chain && !p.chain->fixed ? kernel->pack_in_order : kernel->pack;
    all.pack<uint32_t>(op, p, lay_out, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, kernel->panel_bytes);
  }
  if (p.threshold) p.flip = p.steps[0].step.flip;
  p.fused_bits = !sliced && p.threshold && kernel->bits && !p.wide && !p.cut.whole_rows && (p.cut.panels_per_unit == 1 || p.cut.panels_per_group == 1);
  p.tiles_apart = tiles_apart(p);
  if (!sliced && !map && p.threshold && kernel->bits && !p.wide && p.cut.whole_rows) {
    p.joined = join_bits(p, op.out_channels);
    all.charge(p.joined.runs.size() * sizeof(JoinedBits::Run) + p.joined.flip.size() * 4);
    all.scratch(uint64_t{kChunk} * p.joined.row_words * 4);
  }
  if (sliced && sliced->bits) slice_limits(all, op, p, *sliced);
  p.sliced = std::move(sliced);
  if (map) pixels_in_lanes(all, op, p, std::move(map));
}

void prepare_matmul(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const ValueInfo& in = all.model().values[op.in];
  const uint32_t outputs = op.out_channels / op.geometry.groups;
  const BinaryKernel* kernel = fitting(p.kernels.binary, outputs);
  if (kernel->panel % 32 != 0) kernel = p.kernels.binary;  // B is transposed by whole words
  if (kernel->panel % 32 != 0) kernel = find_binary_kernel(kernel->isa);  // a narrow one was forced
  p.planes = in.planes;
  p.table = all.table(op, in, false, in.pixel_stride(), 0);
  p.taps = 1;
  p.depth = in.words();
  p.binary = kernel = fitting_tile(kernel, p);
  p.wide = uint64_t{p.depth} * 32 > 65535 || p.planes != 1;
  p.slope = op.low == 1 ? 1 : 2;
  all.cut(op, p, kernel->panel, kernel->mr, op.geometry.groups);
  p.panel_bytes = kernel->panel_bytes(1, p.depth);
  const uint64_t limit = all.model().limits.prepared_bytes;
  const std::string what = all.where() + ": room for the right side";
  const uint64_t panels = checked_product({p.cut.panels, p.panel_bytes}, limit, what);
  p.rows_of_rhs = round_up(panels, 64);
  p.origins_of_rhs = p.rows_of_rhs + round_up(checked_product({p.cut.panels, kernel->panel, p.depth, 4}, limit, what), 64);
  const uint64_t shared = round_up(p.origins_of_rhs + (uint64_t{op.out_channels} + kMaxPanel) * 4, 64);
  all.shared(shared);
}

}  // namespace bitwright
