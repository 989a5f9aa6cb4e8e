// A binary convolution by a sliced kernel: features of the map (all threads), the joint chains (all threads), then tiles of groups x panels.
#include "executor_sliced.h"

#include <algorithm>
#include <cstring>

#include "executor_chain.h"
#include "executor_maps.h"
#include "split.h"

namespace bitwright {
namespace {

constexpr uint32_t kMaxGroups = kMaxTilePixels / 8;
static_assert(SlicedPixels::kGap == kNone);

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
    run_.pool->run(count, [&](size_t i, unsigned) { fn(i); }, count * cycles);
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
    const auto part = [&](uint32_t number, size_t first, size_t end, unsigned thread) {
      const Panel panel = panel_of(number);
      while (first < end) {
        const uint32_t n = s_.kernel->tile_groups(end - first);
        tile(panel, first, n, thread);
        first += n;
      }
    };
    if (!run_.pool->worth_sharing(cycles)) {
      for (uint32_t panel = 0; panel < panels; ++panel) part(panel, 0, groups, 0);
      return;
    }
    const Split split = split_work(groups, panels, mr, cycles, run_.pool->threads());
    run_.pool->run(split.items(), [&](size_t i, unsigned thread) {
      const Split::Item item = split.item(i);
      for (uint32_t panel = item.unit_begin; panel < item.unit_end; ++panel) part(panel, item.first, item.first + item.pixels, thread);
    }, cycles);
  }

  // What the tiles of a panel have in common.
  struct Panel {
    uint32_t number, channel_group, channel0, channels;
    const uint8_t* weights;
    FloatsTile floats;
    ShortsTile shorts;
    const float* float_origin;
    const int16_t* short_origin;
  };

  Panel panel_of(uint32_t number) const {
    const uint32_t group = number / op_.cut.panels_per_group, place = number % op_.cut.panels_per_group * op_.cut.panel;
    const uint32_t channel0 = group * op_.cut.group_outputs + place;
    Panel panel{number, group, channel0, std::min(op_.cut.panel, op_.cut.group_outputs - place), op_.weights.as<uint8_t>() + number * op_.panel_bytes, {}, {}, nullptr, nullptr};
    if (!op_.chain) return panel;
    if (op_.chain->fixed) {
      panel.shorts = chain_tile<ShortsTile>(op_, steps_.data(), channel0);
      panel.short_origin = op_.chain->origin.as<int16_t>() + channel0;
    } else {
      panel.floats = chain_tile<FloatsTile>(op_, steps_.data(), channel0);
      panel.float_origin = op_.chain->origin.as<float>() + channel0;
    }
    return panel;
  }

  // Groups [first, first + count) of the slab x one panel.
  void tile(const Panel& panel, size_t first, uint32_t count, unsigned thread) {
    const uint8_t* base[kMaxGroups];
    Place at[kMaxGroups];
    for (uint32_t c = 0; c < count; ++c) {
      at[c] = place_of(first + c);
      base[c] = unit_features(l_.joined ? panel.channel_group : at[c].sample * l_.channel_groups + panel.channel_group) + at[c].at;
    }
    const SlicedTile tile{base, l_.step.data(), count, l_.last, l_.plane_stride, panel.weights};
    if (s_.bits) return bits(panel.number, tile, at, panel.channel0, panel.channels);
    if (!op_.chain || !chain(panel, tile, at)) counts(tile, at, panel.channel0, panel.channels, thread);
  }

  // A group: sample of the slab (not if joined), place of its features, classes and output pixels.
  struct Place {
    uint32_t sample, at, class_count;
    const SlicedClass* classes;
    const uint32_t* pixel;  // [8]; null if joined
  };

  Place place_of(size_t group) const {
    static constexpr SlicedClass all{0, 0xFF};
    if (l_.joined) return {0, static_cast<uint32_t>(group * 8), 1, &all, nullptr};
    const SlicedLayout::Group& g = l_.groups[group % l_.groups.size()];
    return {static_cast<uint32_t>(group / l_.groups.size()), g.at, g.classes, l_.classes.data() + g.first_class, g.pixel};
  }

  // The output pixel j of a group; kNone in gaps.
  struct Pixel {
    uint32_t n, p;
  };
  Pixel pixel_of(const Place& group, uint32_t j) const {
    if (group.pixel) return {first_ + group.sample, group.pixel[j]};
    const size_t position = size_t{group.at} + j;
    if (position >= size_t{count_} * l_.positions) return {first_, kNone};
    return {static_cast<uint32_t>(first_ + position / l_.positions), static_cast<uint32_t>(position % l_.positions)};
  }

  // The threshold, right from the bit planes.
  void bits(uint32_t panel, const SlicedTile& tile, const Place* at, uint32_t channel0, uint32_t channels) const {
    const SlicedClass* classes[kMaxGroups];
    uint32_t class_count[kMaxGroups];
    for (uint32_t c = 0; c < tile.groups; ++c) {
      classes[c] = at[c].classes;
      class_count[c] = at[c].class_count;
    }
    uint64_t words[kMaxTilePixels];
    s_.kernel->threshold(words, tile,
                         {s_.limits.as<uint8_t>() + panel * s_.limit_bytes, s_.flips.as<uint8_t>() + size_t{panel} * op_.cut.panel, classes, class_count},
                         s_.slice);
    const ValueRef& out = steps_.data()[0].value;
    auto* to = static_cast<uint32_t*>(out.data) + channel0 / 32;
    if (channels == 64 && !l_.joined) {  // the usual case, whose time matters
      for (uint32_t c = 0; c < tile.groups; ++c) {
        uint32_t* sample = to + (first_ + at[c].sample) * out.sample_stride;
        for (uint32_t j = 0; j < 8; ++j)
          if (at[c].pixel[j] != kNone) std::memcpy(sample + at[c].pixel[j] * out.pixel_stride, &words[8 * c + j], 8);
      }
      return;
    }
    const uint64_t mask = channels == 64 ? ~uint64_t{0} : (uint64_t{1} << channels) - 1;
    for (uint32_t i = 0; i < 8 * tile.groups; ++i) {
      const Pixel pixel = pixel_of(at[i / 8], i % 8);
      if (pixel.p == kNone) continue;
      uint32_t* word = to + pixel.n * out.sample_stride + pixel.p * out.pixel_stride;
      word[0] = static_cast<uint32_t>(words[i] & mask);
      if (channels > 32) word[1] = static_cast<uint32_t>((words[i] & mask) >> 32);
    }
  }

  // The chain of steps, in registers; false if the tile's pixels are of more than one sample.
  bool chain(const Panel& panel, const SlicedTile& tile, const Place* at) const {
    const uint32_t* pixel[kMaxGroups];
    const SlicedClass* classes[kMaxGroups];
    uint32_t class_count[kMaxGroups], own[kMaxGroups][8];
    size_t sample = 0;
    for (uint32_t c = 0; c < tile.groups; ++c) {
      classes[c] = at[c].classes;
      class_count[c] = at[c].class_count;
      pixel[c] = at[c].pixel;
      if (!l_.joined) {
        if (c > 0 && at[c].sample != sample) return false;
        sample = at[c].sample;
        continue;
      }
      const size_t begin = at[c].at, end = std::min(begin + 8, size_t{count_} * l_.positions) - 1;
      if (c == 0) sample = begin / l_.positions;
      if (begin / l_.positions != sample || end / l_.positions != sample) return false;
      for (uint32_t j = 0; j < 8; ++j) own[c][j] = begin + j <= end ? static_cast<uint32_t>(begin + j - sample * l_.positions) : kNone;
      pixel[c] = own[c];
    }
    const SlicedPixels pixels{pixel, classes, class_count, op_.rows_stride};
    const auto run = [&](auto to, const auto* origin, const auto& kernel) {
      to.origin = &origin;
      begin_values(to, *op_.plan, steps_.data(), first_ + sample, 0, panel.channel0);
      kernel(tile, pixels, to, s_.slice);
    };
    if (op_.chain->fixed)
      run(panel.shorts, panel.short_origin, s_.kernel->shorts);
    else
      run(panel.floats, panel.float_origin, s_.kernel->floats);
    return true;
  }

  void counts(const SlicedTile& tile, const Place* at, uint32_t channel0, uint32_t channels, unsigned thread) const {
    // Counts of real pixels one after the other; those of gaps go to a row behind them.
    uint32_t row[kMaxTilePixels], n[kMaxTilePixels], p[kMaxTilePixels], pixels = 0;
    const int32_t* rows[kMaxTilePixels];
    for (uint32_t i = 0; i < 8 * tile.groups; ++i) {
      const Pixel pixel = pixel_of(at[i / 8], i % 8);
      row[i] = 8 * tile.groups;
      if (pixel.p == kNone) continue;
      rows[pixels] = op_.rows.as<int32_t>() + (op_.row_classes == 1 ? 0 : op_.table->class_of[pixel.p] * op_.rows_stride);
      n[pixels] = pixel.n;
      p[pixels] = pixel.p;
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
