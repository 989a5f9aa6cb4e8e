#include "sliced_layout.h"

#include <algorithm>

#include "phase_axis.h"

namespace bitwright {
namespace {

constexpr size_t kFeatureMemory = size_t{256} << 10;  // batches share it sample by sample
constexpr uint32_t kMaxSamples = 256;
constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // offsets are 32 bits

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
// An odd number of cache lines: planes spread over all sets.
size_t odd_lines(size_t bytes) { return (round_up(bytes, 64) / 64 | 1) * 64; }

// Steps' offsets, given the place of each tap and the plane stride.
void place_steps(SlicedLayout& l, const BitSlice& s, const std::vector<int64_t>& tap) {
  const int64_t plane = static_cast<int64_t>(l.plane_stride), joint = static_cast<int64_t>(l.phases * l.phase_bytes);
  for (uint32_t g = 0; g < s.whole; ++g)
    for (uint32_t t = 0; t < s.taps; ++t) l.step.push_back(static_cast<int32_t>(tap[t] + 2 * g * plane));
  for (uint32_t g = 0; g < s.joint; ++g) l.step.push_back(static_cast<int32_t>(joint + 2 * g * plane));
  l.last = static_cast<int32_t>(joint + 2 * int64_t{s.joint} * plane);
  l.step.resize(s.steps, 0);
}

void make_joined(SlicedLayout& l, const Table& table, const BitSlice& s) {
  l.joined = true;
  l.positions = table.pixels;
  l.source.assign(table.offsets.begin(), table.offsets.end());
  const size_t planes = s.map_planes() + s.joint_planes();
  l.samples = static_cast<uint32_t>(std::clamp<size_t>(kFeatureMemory / (planes * l.positions * l.channel_groups), 1, kMaxSamples));
  l.blocks = l.output_blocks = static_cast<uint32_t>((size_t{l.samples} * l.positions + 63) / 64);
  l.plane_stride = odd_lines(size_t{l.blocks} * 64);
  l.phase_bytes = s.map_planes() * l.plane_stride;
  l.sample_bytes = planes * l.plane_stride;
  l.spare_phase = l.spare_sample = size_t{l.blocks} * 64;
  l.spare.assign(1, 0);
  place_steps(l, s, {0});
}

}  // namespace

size_t SlicedLayout::table_bytes() const {
  return (step.size() + spare.size() + source.size()) * 4 + runs.size() + groups.size() * sizeof(SlicedGroup) + classes.size() * sizeof(SlicedClass);
}

std::unique_ptr<SlicedLayout> make_sliced_layout(const SlicedProblem& problem, const BitSlice& s) {
  const Geometry& g = problem.geometry;
  const auto &in = problem.in, &out = problem.out;
  const Table& table = *problem.table;
  if (g.transposed || uint64_t{s.taps} * s.words * 32 > 65535) return nullptr;
  auto layout = std::make_unique<SlicedLayout>();
  SlicedLayout& l = *layout;
  l.channel_groups = g.groups;
  if (problem.one_tap || (s.taps == 1 && !table.has_padding)) {
    if (uint64_t{table.pixels} * (s.map_planes() + s.joint_planes()) * g.groups > kMostBytes) return nullptr;
    make_joined(l, table, s);
    return layout;
  }
  const PhaseAxis axis[3] = {make_phase_axis(g, 0), make_phase_axis(g, 1), make_phase_axis(g, 2)};
  uint32_t size[3];  // positions of a phase
  for (int k = 0; k < 3; ++k) size[k] = out[k] + axis[k].reach;
  // Where 8 divides the width, groups fit the rows; else they run over a pitch that is as small as the padding of neighbouring rows allows.
  const bool by_rows = out[2] % 8 == 0 && out[1] * out[0] > 1;
  uint32_t pitch = size[2];
  if (!by_rows && g.stride[2] == 1 && g.pad_mode != PadMode::kReplicate)
    pitch = std::max({out[2], in[2] + g.pad_begin[2], size[2] - std::min(size[2], g.pad_begin[2])});
  pitch = std::min(pitch, size[2]);
  const uint32_t rows = size[0] * size[1];
  const uint32_t flat = (rows - 1) * pitch + size[2];
  const uint32_t row_blocks = (size[2] + 63) / 64;
  l.phases = static_cast<uint32_t>(axis[0].phases.size() * axis[1].phases.size() * axis[2].phases.size());
  l.blocks = by_rows ? rows * row_blocks : (flat + 63) / 64;
  const uint32_t last_row = (out[0] - 1) * size[1] + out[1] - 1;  // of an output pixel
  l.output_blocks = by_rows ? (last_row + 1) * row_blocks : (last_row * pitch + out[2] + 63) / 64;

  size_t row = pitch, spare_row = pitch;
  const size_t planes = size_t{l.phases} * s.map_planes() + s.joint_planes();
  if (uint64_t{rows} * (size[2] + 64) * planes * g.groups > kMostBytes) return nullptr;
  if (by_rows) {
    l.plane_stride = size_t{row_blocks} * 64;
    row = planes * l.plane_stride;
    spare_row = l.plane_stride;
    l.sample_bytes = rows * row;
    l.row_blocks = row_blocks;
    l.row_step = row;
  } else {
    l.plane_stride = odd_lines(flat + 8);
    l.sample_bytes = planes * l.plane_stride;
  }
  l.phase_bytes = s.map_planes() * l.plane_stride;
  l.spare_phase = by_rows ? rows * spare_row : size_t{l.blocks} * 64;
  l.spare_sample = l.spare_phase * l.phases;
  l.samples = static_cast<uint32_t>(std::clamp<size_t>(kFeatureMemory / (l.sample_bytes * g.groups), 1, kMaxSamples));

  std::vector<int64_t> tap;
  for (uint32_t i = 0; i < g.kernel[0]; ++i)
    for (uint32_t j = 0; j < g.kernel[1]; ++j)
      for (uint32_t k = 0; k < g.kernel[2]; ++k) {
        const uint64_t phase = (axis[0].phase[i] * axis[1].phases.size() + axis[1].phase[j]) * axis[2].phases.size() + axis[2].phase[k];
        const uint64_t line = uint64_t{axis[0].shift[i]} * size[1] + axis[1].shift[j];
        tap.push_back(static_cast<int64_t>(phase * l.phase_bytes + line * row + axis[2].shift[k]));
        l.spare.push_back(static_cast<int32_t>(phase * l.spare_phase + line * spare_row + axis[2].shift[k]));
      }
  place_steps(l, s, tap);
  const uint32_t lines = axis[0].reach * size[1] + axis[1].reach;
  l.reach_positions = by_rows ? 0 : lines * pitch + axis[2].reach;
  l.reach = by_rows ? lines * row_blocks + row_blocks - 1 : (l.reach_positions + 63) / 64;

  l.source.reserve(size_t{l.phases} * l.blocks * 64);
  for (uint32_t pd : axis[0].phases)
    for (uint32_t ph : axis[1].phases)
      for (uint32_t pw : axis[2].phases)
        for (uint32_t b = 0; b < l.blocks; ++b) {
          uint8_t runs = 0;
          for (uint32_t i = 0; i < 64; ++i) {
            const uint32_t line = by_rows ? b / row_blocks : (b * 64 + i) / pitch, x = by_rows ? b % row_blocks * 64 + i : (b * 64 + i) % pitch;
            int32_t from = problem.padding;
            if (line < rows) {
              const int64_t d = phase_source(g, 0, in[0], pd, line / size[1]), h = phase_source(g, 1, in[1], ph, line % size[1]);
              const int64_t w = phase_source(g, 2, in[2], pw, x);
              if (d >= 0 && h >= 0 && w >= 0) from = static_cast<int32_t>(((d * in[1] + h) * in[2] + w) * static_cast<int64_t>(problem.pixel_stride));
            }
            l.source.push_back(from);
            if (i % 8 != 7) continue;
            const int32_t* last = l.source.data() + l.source.size() - 1;
            bool run = problem.pixel_stride == s.words;
            for (int k = 1; k < 8; ++k) run = run && last[-k] == *last - k * static_cast<int32_t>(problem.pixel_stride);
            runs |= static_cast<uint8_t>(run << (i / 8));
          }
          l.runs.push_back(runs);
        }

  // Groups and the classes of their pixels.
  const auto add_group = [&](uint32_t first_line, uint32_t first_x) {
    SlicedGroup group{static_cast<uint32_t>(first_line * row + first_x), {}, {}, static_cast<uint32_t>(l.classes.size()), 0, true};
    bool any = false;
    for (uint32_t j = 0; j < 8; ++j) {
      const uint32_t position = first_line * pitch + first_x + j;
      const uint32_t line = by_rows ? first_line : position / pitch, x = by_rows ? first_x + j : position % pitch;
      const uint32_t d = line / size[1], h = line % size[1];
      const bool gap = x >= out[2] || h >= out[1] || d >= out[0];
      group.pixel[j] = gap ? SlicedGroup::kGap : (d * out[1] + h) * out[2] + x;
      group.straight = group.straight && group.pixel[j] == group.pixel[0] + j;
      if (gap) continue;
      any = true;
      const uint32_t which = problem.one_class ? 0 : table.class_of[group.pixel[j]];
      group.origin[j] = static_cast<uint32_t>(which * problem.origin_stride);
      const auto begin = l.classes.begin() + group.first_class;
      auto it = std::find_if(begin, l.classes.end(), [&](const SlicedClass& c) { return c.index == which; });
      if (it == l.classes.end()) it = l.classes.insert(it, {which, 0});
      it->mask |= 1u << (7 - j);
    }
    group.classes = static_cast<uint32_t>(l.classes.size()) - group.first_class;
    if (any) l.groups.push_back(group);
  };
  if (by_rows) {
    for (uint32_t d = 0; d < out[0]; ++d)
      for (uint32_t h = 0; h < out[1]; ++h)
        for (uint32_t x = 0; x < out[2]; x += 8) add_group(d * size[1] + h, x);
  } else {
    for (uint32_t q = 0; q < last_row * pitch + out[2]; q += 8) add_group(q / pitch, q % pitch);
  }
  return layout;
}

}  // namespace bitwright
