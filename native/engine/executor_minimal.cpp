// A float convolution by minimal filtering. A few rows of tiles of one strip are computed together: their inputs are transformed once, row by row and then
// column by column, and stay in L2 while the panels of output channels pass. A tile's numbers depend on nothing but its place in the map: not on the
// group of rows, the thread, the band or the batch.
#include "executor_minimal.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"
#include "minimal_filter.h"

namespace bitwright {
namespace {

constexpr uint32_t kMaxTiles = 16;
constexpr uint32_t kMaxPoints = kMinimalColumns + kMinimalTaps - 1;

class MinimalRun {
 public:
  MinimalRun(const RunContext& run, const OpInfo& info, const PreparedOp& op)
      : run_(run), info_(info), op_(op), kernel_(*op.minimal->kernel), l_(op.minimal->layout), in_(run.prepared->model->values[info.in]),
        view_(run.view(info.in)), steps_(run, op), replicate_(info.geometry.pad_mode == PadMode::kReplicate) {
    const uint32_t width = info.out[2];
    row_begin_ = run.is_band() ? run.pixels_begin / width : 0;
    row_end_ = run.is_band() ? run.pixels_end / width : info.out[1];
  }

  void all() {
    const uint32_t begin = row_begin_ / kMinimalRows, end = (row_end_ + kMinimalRows - 1) / kMinimalRows;
    // A product of a tile and a vector of channels takes half a cycle.
    const uint64_t tiles = uint64_t{end - begin} * l_.tile_columns, cycles = run_.samples * tiles * (l_.weight_floats() / l_.lanes);
    const bool share = !run_.is_band() && run_.pool->worth_sharing(cycles);
    const uint64_t wanted = share ? 4 * run_.pool->threads() : 1;
    const auto rows = static_cast<uint32_t>(
        std::clamp<uint64_t>(uint64_t{end - begin} * run_.samples * l_.strips / wanted, 1, l_.most_rows));
    const size_t groups = (end - begin + rows - 1) / rows;
    const auto strip_of = [&](size_t strip, unsigned thread) {
      return Strip(*this, reinterpret_cast<float*>(run_.scratch + thread * run_.prepared->scratch_bytes),
                   static_cast<uint32_t>(run_.first + strip / l_.strips), static_cast<uint32_t>(strip % l_.strips));
    };
    const auto group = [&](Strip& strip, size_t k) {
      const auto first = begin + static_cast<uint32_t>(k) * rows;
      strip.run(first, std::min(rows, end - first));
    };
    const size_t strips = size_t{run_.samples} * l_.strips;
    if (share) {
      const auto item = [&](size_t i, unsigned thread) {
        Strip strip = strip_of(i / groups, thread);
        group(strip, i % groups);
      };
      run_.pool->run(strips * groups, item, cycles);
      return;
    }
    for (size_t i = 0; i < strips; ++i) {
      Strip strip = strip_of(i, 0);
      for (size_t k = 0; k < groups; ++k) group(strip, k);
    }
  }

 private:
  class Strip {
   public:
    Strip(const MinimalRun& owner, float* memory, uint32_t sample, uint32_t strip)
        : o_(owner), l_(owner.l_), memory_(memory), sample_(sample), first_tile_(strip * l_.strip), tiles_(std::min(l_.strip, l_.tile_columns - first_tile_)) {
      // Its lines, in columns of the map; what lies outside is padding. The map's columns begin at a whole vector.
      const auto width = static_cast<int64_t>(o_.in_.dims[2]);
      const int64_t origin = int64_t{first_tile_} * l_.columns.stride * kMinimalColumns - o_.info_.geometry.pad_begin[2];
      const int64_t end = origin + static_cast<int64_t>(l_.plane_stride * l_.step / l_.channels);
      x_begin_ = static_cast<uint32_t>(std::clamp<int64_t>(origin, 0, width));
      x_end_ = static_cast<uint32_t>(std::clamp<int64_t>(end, x_begin_, width));
      margin_ = static_cast<size_t>(x_begin_ - origin) * l_.channels;
      count_ = (x_end_ - x_begin_) * l_.channels;
      shift_ = (l_.lanes - margin_ % l_.lanes) % l_.lanes;
      std::memset(memory_ + l_.zeros_at, 0, count_ * sizeof *memory_);
      for (uint32_t e = 0; e < l_.rows.points && !o_.replicate_; ++e) {  // once: what is written past the map's columns is zero as well
        std::memset(line(e), 0, margin_ * sizeof *memory_);
        std::memset(line(e) + margin_ + count_, 0, (l_.line - shift_ - margin_ - count_) * sizeof *memory_);
      }
    }

    void run(uint32_t first, uint32_t rows) {
      for (uint32_t r = 0; r < rows; ++r)
        for (size_t part = 0; part < l_.rows.parts.size(); ++part) {
          lines(first + r, l_.rows.parts[part]);
          for (uint32_t j = 0; j < l_.rows.points_of(l_.rows.parts[part]); ++j) columns(part, j, r * tiles_);
        }
      const uint32_t all = rows * tiles_, mr = o_.kernel_.mr;
      for (uint32_t panel = 0; panel < l_.panels(); panel += l_.unit)
        for (uint32_t t = 0, count; t < all; t += count) {
          const uint32_t blocks = (all - t + mr - 1) / mr;
          count = (all - t + blocks - 1) / blocks;
          block(panel, first, t, count);
        }
    }

   private:
    // The map's rows for one part, transformed, with padding left and right.
    void lines(uint32_t tile_row, const MinimalPart& part) {
      const uint32_t points = l_.rows.points_of(part);
      const auto height = static_cast<int64_t>(o_.in_.dims[1]);
      const float* map = static_cast<const float*>(o_.view_.data) + sample_ * o_.view_.sample_stride;
      const float* from[kMaxPoints];
      float* to[kMaxPoints];
      for (uint32_t e = 0; e < points; ++e) {
        int64_t y = int64_t{l_.rows.stride} * (tile_row * kMinimalRows + e) + part.first - o_.info_.geometry.pad_begin[1];
        if (o_.replicate_) y = std::clamp<int64_t>(y, 0, height - 1);
        const bool inside = y >= 0 && y < height;
        from[e] = inside ? map + (static_cast<size_t>(y) * o_.in_.dims[2] + x_begin_) * l_.channels : memory_ + l_.zeros_at;
        to[e] = line(e) + margin_;
      }
      o_.kernel_.rows[part.taps - 1]({from, to, 0, 0, 1, count_});
      for (uint32_t e = 0; e < points && o_.replicate_; ++e) replicate(line(e));
    }

    void replicate(float* line) const {
      float* end = line + margin_ + count_;
      const size_t after = l_.line - shift_ - margin_ - count_;
      for (size_t i = margin_; i-- > 0;) line[i] = line[i + l_.channels];
      for (size_t i = 0; i < after; ++i) end[i] = *(end + i - l_.channels);
    }

    // A transformed line's columns, transformed: inputs of products, from tile `at` on.
    void columns(size_t row_part, uint32_t row_point, uint32_t at) {
      float *planes = memory_ + l_.planes_at, *input = memory_ + l_.input_at + at;
      o_.kernel_.transpose({planes, line(row_point), l_.plane_stride, l_.step, static_cast<uint32_t>(l_.plane_stride), static_cast<uint32_t>(l_.step)});
      const float* from[kMaxPoints];
      float* to[kMaxPoints];
      for (size_t k = 0; k < l_.columns.parts.size(); ++k) {
        const MinimalPart& part = l_.columns.parts[k];
        for (uint32_t e = 0; e < l_.columns.points_of(part); ++e) {
          const size_t x = (size_t{l_.columns.stride} * e + part.first) * l_.channels;
          from[e] = planes + x % l_.step * l_.plane_stride + x / l_.step;
          to[e] = input + l_.first_product(row_part, row_point, k, e) * l_.input_stride;
        }
        const uint32_t count = (tiles_ + l_.lanes - 1) / l_.lanes * l_.lanes;  // what lies behind is overwritten by the next row, or not read
        o_.kernel_.columns[part.taps - 1]({from, to, l_.plane_stride, l_.input_stride, l_.channels, count});
      }
    }

    // Tiles [t, t + count) x the panels of a unit.
    void block(uint32_t panel, uint32_t first_row, uint32_t t, uint32_t count) {
      const uint32_t channel = panel * l_.panel, stride = l_.unit * l_.panel, channels = std::min(stride, l_.outputs - channel);
      const float* weights = o_.op_.weights.as<float>() + size_t{l_.products} * channel;
      float* out = memory_ + l_.out_at;
      for (uint32_t c = 0; c < channels; c += l_.panel)
        o_.kernel_.block({memory_ + l_.input_at + t, l_.input_stride, weights + size_t{l_.products} * c, l_.depth.data(), l_.rows.points, l_.columns.points, count,
                          std::min(l_.panel, channels - c), memory_ + l_.spare_at, out + c, stride});
      uint32_t n[kMaxTiles * kMinimalColumns], p[kMaxTiles * kMinimalColumns];
      std::fill_n(n, count * kMinimalColumns, sample_);
      const uint32_t width = o_.info_.out[2];
      for (uint32_t i = 0, run; i < count; i += run) {
        const uint32_t row = (t + i) / tiles_, column = (t + i) % tiles_, x = (first_tile_ + column) * kMinimalColumns;
        run = std::min(count - i, tiles_ - column);
        const uint32_t pixels = std::min(run * kMinimalColumns, width - x);
        for (uint32_t r = 0; r < kMinimalRows; ++r) {
          const uint32_t y = (first_row + row) * kMinimalRows + r;
          if (y < o_.row_begin_ || y >= o_.row_end_) continue;
          for (uint32_t k = 0; k < pixels; ++k) p[k] = y * width + x + k;
          const float* rows = out + (size_t{r} * count + i) * kMinimalColumns * stride;
          o_.op_.kernels.epilogue->from_float(rows, {{pixels, n, p}, channel, channels, stride}, o_.steps_.data(), o_.steps_.size());
        }
      }
    }

    float* line(uint32_t point) const { return memory_ + l_.lines_at + point * l_.line + shift_; }

    const MinimalRun& o_;
    const MinimalLayout& l_;
    float* memory_;
    uint32_t sample_, first_tile_, tiles_;
    uint32_t x_begin_, x_end_, count_;
    size_t margin_, shift_;
  };

  const RunContext& run_;
  const OpInfo& info_;
  const PreparedOp& op_;
  const MinimalKernel& kernel_;
  const MinimalLayout& l_;
  const ValueInfo& in_;
  const View& view_;
  const StepList steps_;
  bool replicate_;
  uint32_t row_begin_, row_end_;
};

}  // namespace

void run_minimal(const RunContext& run, const OpInfo& info, const PreparedOp& op) { MinimalRun(run, info, op).all(); }

}  // namespace bitwright
