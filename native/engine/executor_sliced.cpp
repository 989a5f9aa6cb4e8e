// A binary convolution by a sliced kernel: tiles of groups x panels. Each thread makes the features that its tiles read, just before it counts, in
// memory of its own: it waits for nobody. What two threads both read is made twice, the rows between them mostly. (Features of a few rows at a time, to
// count from L1: slower the fewer rows.)
#include "executor_sliced.h"

#include <algorithm>
#include <cstring>

#include "executor_chain.h"
#include "executor_maps.h"
#include "split.h"
#include "timeline.h"

namespace bitwright {
namespace {

constexpr uint32_t kMaxGroups = kMaxTilePixels / 8;
static_assert(SlicedGroup::kGap == kNone);

class SlicedRun {
 public:
  SlicedRun(const RunContext& run, const OpInfo& info, const PreparedOp& op)
      : run_(run), op_(op), s_(*op.sliced), l_(*op.sliced->layout), view_(run.views[info.in]), words_(run.prepared->model->values[info.in].words()),
        steps_(run, op) {}

  // Samples [first, first + count).
  void slab(uint32_t first, uint32_t count) {
    first_ = first;
    count_ = count;
    const size_t groups = l_.joined ? (size_t{count} * l_.positions + 7) / 8 : count * l_.groups.size();
    const uint32_t panels = l_.channel_groups * op_.cut.panels_per_group;
    const uint64_t cycles = uint64_t{groups} * panels * (s_.slice.steps * 3 + 60);
    const unsigned threads = run_.pool->worth_sharing(cycles) ? run_.pool->threads() : 1;
    const size_t mr = s_.kernel->mr, tiles = (groups + mr - 1) / mr;
    const Split split(tiles, panels, Split::by_units(tiles, panels, op_.weights.size(), threads));
    run_.pool->run_parts(split.cells(), split.step(), [&](const Pool::Part& cells) {
      if (cells.first) std::memset(memory(cells.thread).marks, 0, l_.mark_bytes());
      split.rectangles(cells.begin, cells.end, [&](size_t first, size_t last, uint32_t panel_begin, uint32_t panel_end) {
        part(panel_begin, panel_end, first * mr, std::min(last * mr, groups), cells.thread);
      });
    }, cycles);
  }

 private:
  // Of one thread.
  struct Memory {
    uint8_t *features, *spare, *marks;  // marks: of the blocks that are made
  };
  Memory memory(unsigned thread) const {
    uint8_t* features = run_.scratch + thread * run_.prepared->scratch_bytes + s_.memory_at;
    return {features, features + l_.feature_bytes(), features + l_.feature_bytes() + l_.spare_bytes()};
  }

  // Groups [first, end) x panels. (Asking for a panel's weights ahead, from L3: 1 to 3 % slower, caches cold or not.)
  void part(uint32_t panel_begin, uint32_t panel_end, size_t first, size_t end, unsigned thread) const {
    for (uint32_t number = panel_begin; number < panel_end; ++number) {
      Panel panel = panel_of(number);
      if (number == panel_begin || number % op_.cut.panels_per_group == 0) {
        make_features(memory(thread), panel.channel_group, first, end);
        stamp(Moment::kFeatures, thread);
      }
      tiles(panel, first, end, thread);
    }
  }

  // The features that groups [first, end) read, of one group of channels.
  void make_features(const Memory& memory, uint32_t channel_group, size_t first, size_t end) const {
    if (l_.joined) {
      const auto last = static_cast<uint32_t>((end - 1) / 8);
      return make_blocks(memory, channel_group, 0, static_cast<uint32_t>(first / 8), last, last);
    }
    const size_t each = l_.groups.size();
    for (size_t sample = first / each; sample * each < end; ++sample) {
      const SlicedGroup &low = l_.groups[std::max(first, sample * each) - sample * each], &high = l_.groups[std::min(end, (sample + 1) * each) - 1 - sample * each];
      make_blocks(memory, channel_group, static_cast<uint32_t>(sample), l_.block_of(low.at), l_.block_of(high.at + 7), l_.last_read(high.at + 7));
    }
  }

  // What output positions of blocks [first, last] of a sample read, in blocks up to last_read. Positions at the end of the last one may need a block
  // more: their joint chain is made again when they are wanted.
  void make_blocks(const Memory& memory, uint32_t channel_group, uint32_t sample, uint32_t first, uint32_t last, uint32_t last_read) const {
    constexpr uint8_t kNotMade = 0, kInPart = 1, kMade = 2;
    const size_t unit = size_t{sample} * l_.channel_groups + channel_group;
    uint8_t *made = memory.marks + unit * (l_.blocks + l_.output_blocks), *joined = made + l_.blocks;
    last = std::min(last, l_.output_blocks - 1);
    for (uint32_t block = first; block <= last_read; ++block) {
      if (made[block] != kNotMade) continue;
      made[block] = kMade;
      for (uint32_t phase = 0; phase < l_.phases; ++phase) features(memory, unit, phase, block);
    }
    for (uint32_t block = first; block <= last; ++block) {
      if (joined[block] == kMade) continue;
      uint8_t* const behind = made + std::min(block + l_.reach, l_.blocks - 1) + 1;
      joined[block] = std::find(made + block, behind, kNotMade) == behind ? kMade : kInPart;
      joint(memory, unit, block);
    }
  }

  void features(const Memory& memory, size_t unit, uint32_t phase, uint32_t block) const {
    const uint32_t group = static_cast<uint32_t>(unit % l_.channel_groups);
    const auto sample = static_cast<uint32_t>(first_ + unit / l_.channel_groups);
    SlicedFeatures job{static_cast<const uint32_t*>(view_.data) + (l_.joined ? first_ : sample) * view_.sample_stride + size_t{group} * words_,
                       nullptr, 0, memory.features + unit * l_.sample_bytes + phase * l_.phase_bytes + l_.block_at(block), l_.plane_stride,
                       memory.spare + unit * l_.spare_sample + phase * l_.spare_phase + size_t{block} * 64};
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

  void joint(const Memory& memory, size_t unit, uint32_t block) const {
    s_.kernel->joint({memory.spare + unit * l_.spare_sample + size_t{block} * 64, l_.spare.data(),
                      memory.features + unit * l_.sample_bytes + l_.phases * l_.phase_bytes + l_.block_at(block), l_.plane_stride},
                     s_.slice);
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

  struct Tile {
    SlicedTile work;
    const SlicedGroup* group[kMaxGroups];
    uint32_t sample[kMaxGroups];  // of the slab, of the group's first pixel
    bool one_sample;              // all pixels; then the groups lie one after the other
  };

  // Groups [first, end) of the slab x one panel.
  void tiles(Panel& panel, size_t first, size_t end, unsigned thread) const {
    const uint8_t* const features = memory(thread).features;
    const size_t each = l_.joined ? SIZE_MAX : l_.groups.size();
    auto sample = static_cast<uint32_t>(first / each);
    size_t group = first % each;
    uint32_t begun = kNone;  // the sample whose values the chain knows
    for (size_t left = end - first; left > 0;) {
      const uint32_t count = s_.kernel->tile_groups(left);
      const uint8_t* base[kMaxGroups];
      SlicedGroup own[kMaxGroups];
      Tile t;
      t.work = {base, l_.step.data(), count, l_.last, l_.plane_stride, panel.weights};
      t.one_sample = true;
      for (uint32_t c = 0; c < count; ++c) {
        t.group[c] = l_.joined ? &own[c] : &l_.groups[group];
        t.sample[c] = l_.joined ? join(own[c], group, t.one_sample) : sample;
        t.one_sample = t.one_sample && t.sample[c] == t.sample[0];
        base[c] = features + (size_t{sample} * l_.channel_groups + panel.channel_group) * l_.sample_bytes + t.group[c]->at;
        if (++group == each) group = 0, ++sample;
      }
      left -= count;
      if (s_.bits)
        bits(panel, t);
      else if (op_.chain && t.one_sample)
        chain(panel, t, begun);
      else
        counts(panel, t, thread);
    }
  }

  // Group number `number` of a joined layout; returns its sample. Pixels are numbered from that sample's first on, into the next sample, too.
  uint32_t join(SlicedGroup& group, size_t number, bool& one_sample) const {
    const size_t begin = number * 8, left = size_t{count_} * l_.positions - begin, sample = begin / l_.positions;
    group = {static_cast<uint32_t>(begin), {}, {}, 0, 1, left >= 8};
    for (uint32_t j = 0; j < 8; ++j) group.pixel[j] = j < left ? static_cast<uint32_t>(begin + j - sample * l_.positions) : kNone;
    one_sample = one_sample && begin + std::min<size_t>(left, 8) <= (sample + 1) * l_.positions;
    return static_cast<uint32_t>(sample);
  }

  // The output pixel j of a tile's group; kNone in gaps.
  struct Pixel {
    uint32_t n, p;
  };
  Pixel pixel_of(const Tile& t, uint32_t c, uint32_t j) const {
    const uint32_t n = first_ + t.sample[c], p = t.group[c]->pixel[j];
    if (p == kNone || !l_.joined) return {n, p};
    return {n + p / l_.positions, p % l_.positions};
  }

  // The threshold, right from the bit planes.
  void bits(const Panel& panel, const Tile& t) const {
    static constexpr SlicedClass all{0, 0xFF};
    const SlicedClass* classes[kMaxGroups];
    uint32_t class_count[kMaxGroups];
    for (uint32_t c = 0; c < t.work.groups; ++c) {
      classes[c] = l_.joined ? &all : l_.classes.data() + t.group[c]->first_class;
      class_count[c] = t.group[c]->classes;
    }
    uint64_t words[kMaxTilePixels];
    s_.kernel->threshold(
        words, t.work,
        {s_.limits.as<uint8_t>() + panel.number * s_.limit_bytes, s_.flips.as<uint8_t>() + size_t{panel.number} * op_.cut.panel, classes, class_count}, s_.slice);
    const ValueRef& out = steps_.data()[0].value;
    const uint32_t channels = panel.channels;
    auto* to = static_cast<uint32_t*>(out.data) + panel.channel0 / 32;
    if (channels == 64 && !l_.joined) {  // the usual case, whose time matters
      for (uint32_t c = 0; c < t.work.groups; ++c) {
        uint32_t* sample = to + (first_ + t.sample[c]) * out.sample_stride;
        const uint32_t* pixel = t.group[c]->pixel;
        for (uint32_t j = 0; j < 8; ++j)
          if (pixel[j] != kNone) std::memcpy(sample + pixel[j] * out.pixel_stride, &words[8 * c + j], 8);
      }
      return;
    }
    const uint64_t mask = channels == 64 ? ~uint64_t{0} : (uint64_t{1} << channels) - 1;
    for (uint32_t i = 0; i < 8 * t.work.groups; ++i) {
      const Pixel pixel = pixel_of(t, i / 8, i % 8);
      if (pixel.p == kNone) continue;
      uint32_t* word = to + pixel.n * out.sample_stride + pixel.p * out.pixel_stride;
      word[0] = static_cast<uint32_t>(words[i] & mask);
      if (channels > 32) word[1] = static_cast<uint32_t>((words[i] & mask) >> 32);
    }
  }

  // The chain of steps, in registers.
  void chain(Panel& panel, const Tile& t, uint32_t& begun) const {
    const auto run = [&](auto& to, const auto* const& origin, const auto& kernel) {
      if (t.sample[0] != begun) {
        to.origin = &origin;
        begin_values(to, *op_.plan, steps_.data(), first_ + t.sample[0], 0, panel.channel0);
        begun = t.sample[0];
      }
      kernel(t.work, t.group[0], to, s_.slice);
    };
    if (op_.chain->fixed)
      run(panel.shorts, panel.short_origin, s_.kernel->shorts);
    else
      run(panel.floats, panel.float_origin, s_.kernel->floats);
  }

  void counts(const Panel& panel, const Tile& t, unsigned thread) const {
    // Counts of real pixels one after the other; those of gaps go to a row behind them.
    uint32_t row[kMaxTilePixels], n[kMaxTilePixels], p[kMaxTilePixels], pixels = 0;
    const int32_t* rows[kMaxTilePixels];
    for (uint32_t i = 0; i < 8 * t.work.groups; ++i) {
      const Pixel pixel = pixel_of(t, i / 8, i % 8);
      row[i] = 8 * t.work.groups;
      if (pixel.p == kNone) continue;
      rows[pixels] = op_.rows.as<int32_t>() + (op_.row_classes == 1 ? 0 : op_.table->class_of[pixel.p] * op_.rows_stride);
      n[pixels] = pixel.n;
      p[pixels] = pixel.p;
      row[i] = pixels++;
    }
    auto* counts = reinterpret_cast<uint16_t*>(run_.scratch + thread * run_.prepared->scratch_bytes);
    s_.kernel->count16(counts, row, t.work, s_.slice);
    const EpilogueTile rest{{pixels, n, p}, panel.channel0, panel.channels, op_.cut.panel};
    run_.prepared->kernels.epilogue->from_counts16(counts, rest, rows, op_.slope, steps_.data(), steps_.size());
  }

  const RunContext& run_;
  const PreparedOp& op_;
  const PreparedSliced& s_;
  const SlicedLayout& l_;
  const View& view_;
  const uint32_t words_;
  const StepList steps_;
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
