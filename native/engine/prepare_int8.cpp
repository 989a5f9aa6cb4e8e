#include <vector>

#include "prepare_layers.h"
#include "prepare_lines.h"
#include "split.h"

namespace bitwright {
namespace {

// acc = sum (q - zero) * w = sum q * w - zero * sum w; modulo 2^32, like the kernels' sums. A tap in the padding reads the zero point, so that
// nothing of it is left; what it adds instead is in the row of the pixel's class.
void origins(Preparation& all, const OpInfo& op, PreparedOp& p, const int8_t* weights, uint32_t zero) {
  const size_t row = size_t{p.taps} * p.depth;
  const auto* padding = all.constant<int32_t>(op.padding);
  const uint32_t classes = padding ? p.table->classes() : 1;
  p.rows_stride = op.out_channels;
  p.row_classes = classes;
  const uint64_t bytes = checked_product({classes, p.rows_stride, 4}, all.model().limits.prepared_bytes, all.where() + ": rows of the padding") + kMaxPanel * 4;
  all.charge(bytes);
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

}  // namespace

void prepare_int8(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const ValueInfo& in = all.model().values[op.in];
  const Int8Kernel* kernel = p.kernels.int8;
  const auto* canonical = all.constant<int8_t>(op.weight);
  const uint32_t groups = op.geometry.groups;
  const bool dense = covers_map(op.geometry, in);
  p.table = all.table(op, in, dense, in.pixel_stride(), static_cast<int32_t>(in.pixels() * in.pixel_stride()));
  p.taps = dense ? 1 : op.geometry.taps();
  p.depth = dense ? op.geometry.taps() * in.channels() : in.channels() / groups;
  p.fill = in.zero;
  p.depthwise = is_depthwise(op, in);
  origins(all, op, p, canonical, in.zero);
  if (p.depthwise) {
    all.cut(op, p, kernel->panel, kernel->mr, 1);
    all.pack_depthwise(p, canonical);
    return;
  }
  const uint32_t width = op.geometry.kernel[2];
  if (!dense && groups == 1 && width > 1 && (p.depth < 16 || (p.depth % 4 != 0 && p.depth < 32))) {
    all.cut(op, p, kernel->panel, kernel->mr, groups);
    p.lines = make_lines(op, in, p, kMaxTilePixels);
    if (!p.lines) {
      p.gather = make_gather(*p.table, p.depth, width, static_cast<int32_t>(in.pixels() * in.pixel_stride()));
      all.charge(p.gather->bytes());
    }
    p.taps = p.lines ? p.lines->lines : p.gather->lines;
    p.depth = p.lines ? p.lines->line : p.gather->line;
  }
  all.cut(op, p, kernel->panel, kernel->mr, groups);
  if (p.lines) {
    all.charge(p.lines->zeros.size());
    all.scratch(p.lines->bytes);
  }
  if (p.gather) {
    p.gather_at = p.plane_scratch;
    all.scratch(p.gather_at + uint64_t{kChunk} * p.gather->row + 64);
  }
  all.pack<int8_t>(op, p, kernel->pack, [&](uint32_t g) { return canonical + size_t{g} * p.cut.group_outputs * p.taps * p.depth; }, kernel->panel_bytes);
}

void pool_sums(Preparation& all, const OpInfo& op, PreparedOp& p, const OpInfo& pool, const PreparedOp& next) {
  if (!p.lines || p.kernels.int8->maxima == nullptr || !pools_maxima(pool) || op.steps.back().value != pool.in) return;
  const ValueInfo& map = all.model().values[pool.in];
  const std::vector<PreparedStep>& behind = next.steps;
  const bool shorts = is_fixed(behind[0].step.kind) && behind[0].step.kind != StepKind::kQuantizeI16;
  if (shorts != (map.dtype == DType::kI16) || straddles(next)) return;
  for (size_t k = 1; k < 3; ++k)
    if (pool.out[k] > (map.dims[k] + 1) / 2) return;  // a last window of what is a window's first line
  const auto falling = falling_channels(p, map.dtype, op.out_channels);
  if (!falling) return;
  std::vector<int8_t> weights(all.constant<int8_t>(op.weight), all.constant<int8_t>(op.weight) + all.model().constants[op.weight].elements);
  const size_t row = weights.size() / op.out_channels;
  for (size_t i = 0; i < weights.size(); ++i)
    if ((*falling)[i / row]) {
      if (weights[i] == INT8_MIN) return;
      weights[i] = static_cast<int8_t>(-weights[i]);
    }
  auto own = std::make_shared<PreparedOp>();
  own->kernels = p.kernels;
  own->table = p.table;
  own->cut = p.cut;
  own->taps = p.taps;
  own->depth = p.depth;
  own->fill = p.fill;
  own->rows_stride = p.rows_stride;
  own->row_classes = p.row_classes;
  own->lines = make_lines(op, all.model().values[op.in], *own, 0);
  if (!own->lines) return;
  all.charge(own->lines->zeros.size() + p.rows.size());
  all.scratch(own->lines->bytes);
  own->rows = AlignedBuffer(p.rows.size(), true);
  for (uint32_t k = 0; k < p.row_classes; ++k)
    for (uint32_t c = 0; c < op.out_channels; ++c) {
      const int32_t origin = p.rows.as<int32_t>()[k * p.rows_stride + c];
      own->rows.as<int32_t>()[k * p.rows_stride + c] = (*falling)[c] ? -origin : origin;
    }
  all.pack<int8_t>(op, *own, p.kernels.int8->pack, [&](uint32_t) { return weights.data(); }, p.kernels.int8->panel_bytes);
  own->steps.assign(p.steps.begin(), p.steps.end() - 1);
  own->steps.insert(own->steps.end(), behind.begin(), behind.end());
  for (PreparedStep& s : own->steps) s.step.plan = nullptr;
  if (Step& first = own->steps[0].step; first.kind == StepKind::kAffine) {
    all.charge(uint64_t{op.out_channels} * sizeof(float));
    for (uint32_t c = 0; c < op.out_channels; ++c) {
      const float a = first.a != nullptr ? first.a[c] : first.p0;
      own->factors.push_back((*falling)[c] ? -a : a);
    }
    first.a = own->factors.data();
  }
  all.place_steps(*own);
  all.plan(*own, op.out_channels);
  p.pooled = std::move(own);
}

}  // namespace bitwright
