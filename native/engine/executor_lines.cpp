#include "executor_lines.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "executor_maps.h"

namespace bitwright {
namespace {

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// Lines and sums of stretches, in a thread's scratch.
class Stretch {
 public:
  Stretch(const RunContext& run, const OpInfo& info, const PreparedOp& op, uint8_t* scratch)
      : info_(info), op_(op), lines_(*op.lines), in_(run.prepared->model->values[info.in]), view_(run.view(info.in)), scratch_(scratch) {}

  // Pixels [first, first + pixels) of row y of sample n.
  void begin(uint32_t n, uint32_t y, uint32_t first, uint32_t pixels) {
    const Geometry& g = info_.geometry;
    const auto* map = static_cast<const uint8_t*>(view_.data) + n * view_.sample_stride * 4;
    const int64_t channels = in_.channels(), width = in_.dims[2], from = int64_t{first} * g.stride[2] - g.pad_begin[2];
    const int64_t to = from + int64_t{pixels - 1} * g.stride[2] + g.kernel[2], inside = std::clamp<int64_t>(from, 0, width), end = std::clamp<int64_t>(to, inside, width);
    // Rows below each other share most of their lines, which lie in turn in as many places.
    const bool turns = g.dilation[1] == 1, same = turns && pixels == pixels_ && first == first_ && n == n_;
    const int64_t top = int64_t{y} * g.stride[1] - g.pad_begin[1], many = lines_.lines;
    auto place = static_cast<uint32_t>(turns ? (top % many + many) % many : 0);
    for (uint32_t k = 0; k < lines_.lines; ++k, place = place + 1 == lines_.lines ? 0 : place + 1) {
      uint8_t* line = scratch_ + place * lines_.row_bytes;
      line_[k] = line;
      const int64_t row = top + int64_t{k} * g.dilation[1];
      if (same && row >= top_ && row < top_ + many) continue;
      if (row < 0 || row >= in_.dims[1] || to <= 0 || from >= width) {
        std::memset(line, static_cast<int>(op_.fill), static_cast<size_t>((to - from) * channels));
        continue;
      }
      std::memset(line, static_cast<int>(op_.fill), static_cast<size_t>((inside - from) * channels));
      std::memcpy(line + (inside - from) * channels, map + (row * width + inside) * channels, static_cast<size_t>((end - inside) * channels));
      std::memset(line + (end - from) * channels, static_cast<int>(op_.fill), static_cast<size_t>((to - end) * channels));
    }
    n_ = n, first_ = first, pixels_ = pixels, top_ = top;
    pixel_ = y * info_.out[2] + first;
  }

  // The kernel's job for the panel; `origin`: room for the stretch's pixels.
  Int8Lines job(uint32_t panel, const int32_t** origin) const {
    const int32_t* rows = op_.rows.as<int32_t>() + size_t{panel} * op_.cut.panel;
    for (uint32_t i = 0; i < pixels_; ++i) origin[i] = rows + (op_.row_classes > 1 ? op_.table->class_of[pixel_ + i] * op_.rows_stride : 0);
    std::fill_n(origin + pixels_, kLinePixels - 1, rows);
    return {line_, lines_.step, pixels_, lines_.lines, lines_.line, op_.weights.as<uint8_t>() + panel * op_.panel_bytes, origin, scratch_ + lines_.spare_at};
  }

 private:
  const OpInfo& info_;
  const PreparedOp& op_;
  const PreparedLines& lines_;
  const ValueInfo& in_;
  const View& view_;
  uint8_t* scratch_;
  const uint8_t* line_[kMostLines];
  uint32_t n_ = 0, first_ = 0, pixels_ = 0, pixel_ = 0;
  int64_t top_ = 0;  // the row of the first line
};

// Complete sums, of pixels of a sample one after the other, through the steps.
void emit(const PreparedOp& op, const Step* steps, const int32_t* sums, uint32_t n, uint32_t first, uint32_t pixels, uint32_t panel) {
  uint32_t samples[kMaxTilePixels], places[kMaxTilePixels];
  const int32_t* zeros[kMaxTilePixels];
  std::fill_n(samples, kMaxTilePixels, n);
  std::fill_n(zeros, kMaxTilePixels, op.lines->zeros.as<int32_t>());
  const uint32_t channel = panel * op.cut.panel, channels = std::min(op.cut.panel, op.cut.group_outputs - channel);
  for (uint32_t i = 0, count; i < pixels; i += count) {
    count = std::min(kMaxTilePixels, pixels - i);
    for (uint32_t k = 0; k < count; ++k) places[k] = first + i + k;
    op.kernels.epilogue->from_int32(sums + size_t{i} * op.cut.panel, {{count, samples, places}, channel, channels, op.cut.panel}, zeros, steps, op.steps.size());
  }
}

}  // namespace

void run_lines(const RunContext& run, const OpInfo& info, const PreparedOp& op, const Step* steps, size_t first_pixel, uint32_t pixels, uint32_t unit_begin,
               uint32_t unit_end, uint8_t* scratch) {
  const uint32_t width = info.out[2], per_sample = op.table->pixels;
  const int32_t* origin[kMaxTilePixels + kLinePixels];
  auto* sums = reinterpret_cast<int32_t*>(scratch + op.lines->rows_at);
  Stretch stretch(run, info, op, scratch);
  for (uint32_t i = 0, count; i < pixels; i += count) {
    const size_t at = first_pixel + i;
    const auto n = run.first + static_cast<uint32_t>(at / per_sample), p = static_cast<uint32_t>(at % per_sample);
    // What is left of the row, in equal parts.
    const uint32_t left = std::min(width - p % width, pixels - i), parts = (left + op.lines->pixels - 1) / op.lines->pixels;
    count = std::min(left, ((left + parts - 1) / parts + kLinePixels - 1) / kLinePixels * kLinePixels);
    stretch.begin(n, p / width, p % width, count);
    for (uint32_t panel = unit_begin; panel < unit_end; ++panel) {
      Int8Lines job = stretch.job(panel, origin);
      job.again = panel != unit_begin;
      op.kernels.int8->lines(sums, job);
      emit(op, steps, sums, n, p, count, panel);
    }
  }
}

void run_maxima(const RunContext& run, size_t index, uint32_t begin, uint32_t end, uint64_t* ns) {
  const OpInfo &info = run.prepared->model->ops[index], &pool = run.prepared->model->ops[index + 1];
  const PreparedOp& op = *run.prepared->ops[index].pooled;
  const std::vector<PoolWindow>& windows = (*run.prepared->ops[index + 1].windows)[1];
  const StepList steps(run, op);
  const int32_t* origin[kMostLinePixels + kLinePixels];
  const auto row_of = [&](uint32_t r) { return reinterpret_cast<int32_t*>(run.scratch + op.lines->rows_at + r % 2 * op.lines->maxima); };
  Stretch stretch(run, info, op, run.scratch);
  for (uint32_t panel = 0; panel < op.cut.panels; ++panel)
    // A row of the map lies in one window or two, in that of row r of the pooled map not as the first: maxima go into two rows in turn.
    for (uint32_t r = begin, y = windows[begin].first; r < end; ++y) {
      const bool first = y == windows[r].first, last = y + 1 == windows[r].first + windows[r].count;
      const bool next = r + 1 < end && y == windows[r + 1].first;
      stretch.begin(run.first, y, 0, info.out[2]);
      op.kernels.int8->maxima({first ? nullptr : row_of(r), first ? row_of(r) : next ? row_of(r + 1) : nullptr}, stretch.job(panel, origin));
      if (!last) continue;
      const uint64_t start = ns ? now_ns() : 0;
      emit(op, steps.data(), row_of(r), run.first, r * pool.out[2], pool.out[2], panel);
      if (ns) *ns += now_ns() - start;
      ++r;
    }
}

}  // namespace bitwright
