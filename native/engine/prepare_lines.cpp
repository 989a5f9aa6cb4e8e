#include "prepare_lines.h"

#include <algorithm>
#include <cmath>

namespace bitwright {
namespace {

constexpr uint32_t kFewestPixels = 8;   // of a row
constexpr size_t kReadPast = 128;       // Int8Lines

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

bool is_minus_zero(float x) { return x == 0 && std::signbit(x); }

// Follows one channel's chain: the sign of its growth, and a bound of its numbers.
class Growth {
 public:
  bool step(const Step& s, uint32_t c) {
    switch (s.kind) {
      case StepKind::kAffine: {
        const float a = s.a != nullptr ? s.a[c] : s.p0, b = s.b != nullptr ? s.b[c] : s.p1;
        if (a < 0) falls_ = !falls_;
        minus_zero_ = is_minus_zero(b);
        return bounded(most_ * std::abs(double{a}) + std::abs(double{b}));
      }
      case StepKind::kPrelu: {
        const float slope = s.a != nullptr ? s.a[c] : s.p0;
        minus_zero_ = true;  // -1 * 0
        return slope >= 0 && bounded(most_ * std::max(1.0, double{slope}));
      }
      case StepKind::kClamp:
        minus_zero_ = minus_zero_ || is_minus_zero(s.p0) || is_minus_zero(s.p1);
        return !std::isnan(s.p0) && !std::isnan(s.p1) && bounded(std::max({most_, std::abs(double{s.p0}), std::abs(double{s.p1})}));
      case StepKind::kQuantizeI16:
        minus_zero_ = false;
        return true;
      case StepKind::kBiasI16:
      case StepKind::kClampI16: return true;
      case StepKind::kPreluI16: return s.a16[c] >= 0;
      default: return false;
    }
  }
  bool falls() const { return falls_; }
  bool minus_zero() const { return minus_zero_; }

 private:
  bool bounded(double most) {
    most_ = most;
    return most < 1e37;  // false for NaN
  }

  bool falls_ = false, minus_zero_ = false;
  double most_ = 2147483648.0;
};

}  // namespace

std::unique_ptr<const PreparedLines> make_lines(const OpInfo& op, const ValueInfo& in, const PreparedOp& p, uint32_t pixels) {
  const Int8Kernel& kernel = *p.kernels.int8;
  const Geometry& g = op.geometry;
  const bool maxima = pixels == 0;
  if (maxima) pixels = op.out[2];
  if (kernel.lines == nullptr || p.cut.whole_rows || g.groups != 1 || g.transposed || g.pad_mode == PadMode::kReplicate) return nullptr;
  if (g.kernel[0] != 1 || in.dims[0] != 1 || op.out[0] != 1 || g.dilation[2] != 1 || g.pad_begin[0] != 0) return nullptr;
  if (op.out[2] < kFewestPixels || g.kernel[1] > kMostLines || pixels > kMostLinePixels) return nullptr;
  auto lines = std::make_unique<PreparedLines>();
  lines->lines = g.kernel[1];
  lines->line = g.kernel[2] * in.channels();
  lines->step = size_t{g.stride[2]} * in.channels();
  // Measured, 11 x 11 of 3 channels every 4 pixels: collecting bytes that lie so far apart, and small tiles of so many weights, take 7 % longer.
  if (lines->step > 8 && kernel.lines_spare(lines->lines, lines->line, pixels) != 0) return nullptr;
  lines->pixels = pixels;
  lines->row_bytes = round_up((pixels + kLinePixels) * lines->step + lines->line + kReadPast, 64);
  lines->spare_at = lines->lines * lines->row_bytes;
  lines->rows_at = lines->spare_at + round_up(kernel.lines_spare(lines->lines, lines->line, pixels), 64);
  const size_t row = p.cut.panel * sizeof(int32_t);
  lines->maxima = maxima ? round_up((pixels + 1) / 2, kLinePixels / 2) * row : 0;
  lines->bytes = lines->rows_at + (maxima ? 2 * lines->maxima : round_up(pixels, kLinePixels) * row);
  lines->zeros = AlignedBuffer((p.rows_stride + kMaxPanel) * sizeof(int32_t), true);
  return lines;
}

bool pools_maxima(const OpInfo& pool) {
  const Geometry& g = pool.geometry;
  if (pool.opcode != Opcode::kPool || pool.pool != PoolKind::kMax || g.kernel[0] != 1) return false;
  for (int k = 1; k < 3; ++k)
    if (g.kernel[k] != 3 || g.stride[k] != 2 || g.pad_begin[k] != 1 || g.dilation[k] != 1) return false;
  return true;
}

std::optional<std::vector<bool>> falling_channels(const PreparedOp& op, DType map, uint32_t channels) {
  std::vector<bool> falling(channels);
  if (map != DType::kI16 && map != DType::kF32) return std::nullopt;
  for (uint32_t c = 0; c < channels; ++c) {
    Growth growth;
    for (size_t k = 0; k + 1 < op.steps.size(); ++k)
      if (!growth.step(op.steps[k].step, c)) return std::nullopt;
    if (map == DType::kF32 && growth.minus_zero()) return std::nullopt;
    if (growth.falls() && op.steps[0].step.kind != StepKind::kAffine) return std::nullopt;
    falling[c] = growth.falls();
  }
  return falling;
}

}  // namespace bitwright
