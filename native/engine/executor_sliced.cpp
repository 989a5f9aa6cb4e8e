// A binary convolution by a sliced kernel: features of the map (all threads), the joint chains (all threads), then tiles of groups x panels.
#include "executor_sliced.h"

#include <algorithm>
#include <cstring>

#include "executor_maps.h"

namespace bitwright {
namespace {

constexpr uint32_t kMaxGroups = kMaxTilePixels / 8;
constexpr size_t kStaysInL2 = size_t{384} << 10;
constexpr size_t kItemBlocks = 4;  // blocks of features in a work item

class SlicedRun {
 public:
  SlicedRun(const RunContext& run, const OpInfo& info, const PreparedOp& op)
      : run_(run), op_(op), s_(*op.sliced), l_(*op.sliced->layout), view_(run.views[info.in]), words_(run.prepared->model->values[info.in].words()),
        steps_(run, op), features_(run.shared), spare_(run.shared + (l_.feature_bytes() + 63) / 64 * 64) {}

  // Samples [first, first + count).
  void slab(uint32_t first, uint32_t count) {
    first_ = first;
    count_ = count;
    const size_t units = l_.joined ? l_.channel_groups : size_t{count} * l_.channel_groups;  // chunks of features
    const size_t blocks = l_.joined ? (size_t{count} * l_.positions + 63) / 64 : l_.blocks;
    const uint64_t step = 20;  // cycles of 64 positions of a step
    for_each(units * l_.phases * blocks, 200 + step * s_.slice.whole, [&](size_t i) { features(i / (l_.phases * blocks), i / blocks % l_.phases, uint32_t(i % blocks)); });
    const size_t outputs = l_.joined ? blocks : l_.output_blocks;
    for_each(units * outputs, 100 + step * s_.slice.joint, [&](size_t i) { joint(i / outputs, static_cast<uint32_t>(i % outputs)); });
    tiles();
  }

 private:
  template <class Fn>
  void for_each(size_t count, uint64_t cycles, const Fn& fn) {
    run_.pool->run((count + kItemBlocks - 1) / kItemBlocks, [&](size_t item, unsigned) {
      const size_t end = std::min(count, (item + 1) * kItemBlocks);
      for (size_t i = item * kItemBlocks; i < end; ++i) fn(i);
    }, count * cycles);
  }

  uint8_t* unit_features(size_t unit) const { return features_ + unit * l_.sample_bytes; }
  uint8_t* unit_spare(size_t unit) const { return spare_ + unit * l_.spare_sample; }

  void features(size_t unit, size_t phase, uint32_t block) const {
    const uint32_t group = static_cast<uint32_t>(unit % l_.channel_groups);
    const auto sample = static_cast<uint32_t>(first_ + unit / l_.channel_groups);
    SlicedFeatures job{static_cast<const uint32_t*>(view_.data) + (l_.joined ? first_ : sample) * view_.sample_stride + size_t{group} * words_,
                       nullptr, 0, unit_features(unit) + phase * l_.phase_bytes + l_.block_at(block), l_.plane_stride,
                       unit_spare(unit) + phase * l_.spare_phase + size_t{block} * 64};
    int32_t source[64];
    if (l_.joined) {
      const size_t total = size_t{count_} * l_.positions;
      for (uint32_t i = 0; i < 64; ++i) {
        const size_t position = std::min(size_t{block} * 64 + i, total - 1);
        source[i] = static_cast<int32_t>(position / l_.positions * view_.sample_stride) + l_.source[position % l_.positions];
      }
      job.source = source;
    } else {
      job.source = l_.source.data() + (phase * l_.blocks + block) * 64;
      job.runs = l_.runs[phase * l_.blocks + block];
    }
    s_.kernel->features(job, s_.slice);
  }

  void joint(size_t unit, uint32_t block) const {
    s_.kernel->joint({unit_spare(unit) + size_t{block} * 64, l_.spare.data(), unit_features(unit) + l_.phases * l_.phase_bytes + l_.block_at(block),
                      l_.plane_stride},
                     s_.slice);
  }

  void tiles() {
    const size_t groups = l_.joined ? (size_t{count_} * l_.positions + 7) / 8 : count_ * l_.groups.size();
    const uint32_t mr = s_.kernel->mr, panels = l_.channel_groups * op_.cut.panels_per_group;
    const uint64_t cycles = uint64_t{groups} * panels * (s_.slice.steps * 3 + 60);
    const unsigned threads = run_.pool->worth_sharing(cycles) ? run_.pool->threads() : 1;
    const size_t parts = threads == 1 ? 1 : std::clamp<size_t>((size_t{threads} * 4 + panels - 1) / panels, 1, (groups + mr - 1) / mr);
    run_.pool->run(panels * parts, [&](size_t item, unsigned thread) {
      const auto panel = static_cast<uint32_t>(item / parts);
      const size_t part = item % parts, first = part * groups / parts, end = (part + 1) * groups / parts;
      // Weights that do not stay in L2 beside the features come from L3: the next panel's are fetched meanwhile.
      const size_t next = panel + 1 < panels && op_.weights.size() > kStaysInL2 ? op_.panel_bytes : 0;
      size_t fetched = 0;
      for (size_t i = first; i < end;) {
        const uint32_t n = s_.kernel->tile_groups(end - i);
        tile(panel, i, n, thread, fetched < next ? op_.panel_bytes + fetched : 0);
        fetched += size_t{s_.slice.steps} * 128;
        i += n;
      }
    }, cycles);
  }

  // Groups [first, first + count) of the slab x one panel.
  void tile(uint32_t panel, size_t first, uint32_t count, unsigned thread, size_t ahead) {
    const uint32_t channel_group = panel / op_.cut.panels_per_group, place = panel % op_.cut.panels_per_group * op_.cut.panel;
    const uint32_t channel0 = channel_group * op_.cut.group_outputs + place, channels = std::min(op_.cut.panel, op_.cut.group_outputs - place);
    const uint8_t* base[kMaxGroups];
    const SlicedClass* classes[kMaxGroups];
    uint32_t class_count[kMaxGroups], n[kMaxTilePixels], p[kMaxTilePixels];
    for (uint32_t c = 0; c < count; ++c) {
      if (l_.joined) {
        static constexpr SlicedClass all{0, 0xFF};
        base[c] = unit_features(channel_group) + (first + c) * 8;
        classes[c] = &all;
        class_count[c] = 1;
        for (uint32_t j = 0; j < 8; ++j) {
          const size_t position = (first + c) * 8 + j;
          const bool real = position < size_t{count_} * l_.positions;
          n[8 * c + j] = static_cast<uint32_t>(first_ + position / l_.positions);
          p[8 * c + j] = real ? static_cast<uint32_t>(position % l_.positions) : kNone;
        }
        continue;
      }
      const size_t sample = (first + c) / l_.groups.size();
      const SlicedLayout::Group& group = l_.groups[(first + c) % l_.groups.size()];
      base[c] = unit_features(sample * l_.channel_groups + channel_group) + group.at;
      classes[c] = l_.classes.data() + group.first_class;
      class_count[c] = group.classes;
      for (uint32_t j = 0; j < 8; ++j) {
        n[8 * c + j] = static_cast<uint32_t>(first_ + sample);
        p[8 * c + j] = group.pixel[j];
      }
    }
    const uint8_t* weights = op_.weights.as<uint8_t>() + panel * op_.panel_bytes;
    const SlicedTile tile{base, l_.step.data(), count, l_.last, l_.plane_stride, weights, weights + ahead, ahead ? 128u : 0u};
    if (s_.bits) {
      uint64_t bits[kMaxTilePixels];
      s_.kernel->threshold(bits, tile,
                           {s_.limits.as<uint8_t>() + panel * s_.limit_bytes, s_.flips.as<uint8_t>() + size_t{panel} * op_.cut.panel, classes, class_count},
                           s_.slice);
      const ValueRef& out = steps_.data()[0].value;
      for (uint32_t i = 0; i < 8 * count; ++i) {
        if (p[i] == kNone) continue;
        uint32_t* to = static_cast<uint32_t*>(out.data) + n[i] * out.sample_stride + p[i] * out.pixel_stride + channel0 / 32;
        const uint64_t word = channels == 64 ? bits[i] : bits[i] & ((uint64_t{1} << channels) - 1);
        std::memcpy(to, &word, channels > 32 ? 8 : 4);
      }
      return;
    }
    // Counts of real pixels one after the other; those of gaps go to a row behind them.
    uint32_t row[kMaxTilePixels], pixels = 0;
    const int32_t* rows[kMaxTilePixels];
    for (uint32_t i = 0; i < 8 * count; ++i) {
      row[i] = 8 * count;
      if (p[i] == kNone) continue;
      rows[pixels] = op_.rows.as<int32_t>() + (op_.row_classes == 1 ? 0 : op_.table->class_of[p[i]] * op_.rows_stride);
      n[pixels] = n[i];
      p[pixels] = p[i];
      row[i] = pixels++;
    }
    auto* counts = reinterpret_cast<uint16_t*>(run_.scratch + thread * run_.prepared->scratch_bytes);
    s_.kernel->count16(counts, row, tile, s_.slice);
    const EpilogueTile rest{{pixels, n, p}, channel0, channels, op_.cut.panel};
    run_.prepared->kernels.epilogue->from_counts16(counts, rest, rows, op_.slope, steps_.data(), steps_.size());
  }

  const RunContext& run_;
  const PreparedOp& op_;
  const PreparedSliced& s_;
  const SlicedLayout& l_;
  const View& view_;
  const uint32_t words_;
  const StepList steps_;
  uint8_t* const features_;
  uint8_t* const spare_;
  uint32_t first_ = 0, count_ = 0;
};

}  // namespace

void run_sliced(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& in = run.prepared->model->values[info.in];
  fill_padding(run, in, run.views[info.in], op.fill);
  SlicedRun sliced(run, info, op);
  for (uint32_t n = 0; n < run.samples; n += op.sliced->layout->samples) sliced.slab(n, std::min(op.sliced->layout->samples, run.samples - n));
}

}  // namespace bitwright
