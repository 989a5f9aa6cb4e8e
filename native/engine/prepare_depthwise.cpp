#include "prepare_depthwise.h"

#include <algorithm>
#include <map>

namespace bitwright {
namespace {

// Cycles, roughly as measured with AVX-512.
constexpr uint64_t kRun = 40;
uint64_t block_cycles(uint32_t taps) { return 12 + uint64_t{taps} * 3; }

std::vector<uint16_t> runs(const Table& table, uint32_t words) {
  std::vector<uint16_t> run(table.pixels, 1);
  for (uint32_t p = table.pixels; p-- > 1;) {
    const int32_t *here = table.row(p - 1), *next = table.row(p);
    bool continues = table.class_of[p] == table.class_of[p - 1] && run[p] < 0xffff;
    for (uint32_t t = 0; continues && t < table.taps; ++t) continues = next[t] - here[t] == static_cast<int32_t>(words);
    if (continues) run[p - 1] = static_cast<uint16_t>(run[p] + 1);
  }
  return run;
}

uint64_t cycles_of_runs(const PreparedDepthwise& own, uint32_t words, uint32_t block, uint32_t taps) {
  uint64_t cycles = 0;
  for (size_t p = 0; p < own.run.size(); p += own.run[p]) {
    const uint64_t blocks = words >= block ? own.run[p] * uint64_t{(words + block - 1) / block} : (own.run[p] + block / words - 1) / (block / words);
    cycles += kRun + blocks * block_cycles(taps);
  }
  return cycles;
}

// The classes of the pixels of a block: each row of them once; bound_of tells which is which block's.
std::vector<std::vector<uint32_t>> rows_of_blocks(PreparedDepthwise& own, const Table& table, uint32_t pixels) {
  const PhasedMap& map = *own.phases;
  own.blocks = (map.most_positions() + pixels - 1) / pixels;
  own.bound_of.resize(size_t{map.bands()} * own.blocks);
  std::vector<std::vector<uint32_t>> rows;
  std::map<std::vector<uint32_t>, uint32_t> index;
  for (uint32_t band = 0; band < map.bands(); ++band)
    for (uint32_t block = 0; block < own.blocks; ++block) {
      std::vector<uint32_t> row(pixels);
      for (uint32_t i = 0; i < pixels; ++i) {
        const uint32_t pixel = map.pixel(band, block * pixels + i);
        if (pixel != kNone) row[i] = table.class_of[pixel];
      }
      const auto [it, added] = index.emplace(std::move(row), static_cast<uint32_t>(rows.size()));
      if (added) rows.push_back(it->first);
      own.bound_of[size_t{band} * own.blocks + block] = it->second;
    }
  return rows;
}

void set_bounds(PreparedDepthwise& own, const PreparedOp& p, uint32_t channels, uint32_t words, uint32_t classes) {
  const uint32_t planes = depthwise_planes(p.taps);
  std::vector<std::vector<uint32_t>> rows;
  if (own.phases && classes > 1) {
    rows = rows_of_blocks(own, *p.table, p.kernels.depthwise->block / words);
  } else {
    for (uint32_t k = 0; k < classes; ++k) rows.push_back({k});
  }
  own.bounds = AlignedBuffer(rows.size() * planes * own.lanes * 4, true);
  own.flip_and_real = AlignedBuffer(size_t{2} * own.lanes * 4);
  std::vector<uint32_t> row(words);
  const auto pack = [&](const auto& bit) {
    std::fill(row.begin(), row.end(), 0);
    for (uint32_t c = 0; c < channels; ++c) row[c / 32] |= static_cast<uint32_t>(bit(c)) << (c % 32);
    return row.data();
  };
  // Of each class, [planes][words]; then the lanes of each row of classes.
  std::vector<uint32_t> of_class(size_t{classes} * planes * words);
  for (size_t k = 0; k < classes; ++k)
    for (uint32_t plane = 0; plane < planes; ++plane) {
      pack([&](uint32_t c) {
        const auto bound = static_cast<uint32_t>(std::min<int32_t>(p.rows.as<int32_t>()[k * p.rows_stride + c], static_cast<int32_t>(p.taps)) + 1);
        return bound >> plane & 1;
      });
      std::copy(row.begin(), row.end(), of_class.begin() + static_cast<ptrdiff_t>((k * planes + plane) * words));
    }
  uint32_t* lanes = own.bounds.as<uint32_t>();
  for (const std::vector<uint32_t>& pixels : rows)
    for (uint32_t plane = 0; plane < planes; ++plane, lanes += own.lanes) {
      const auto of = [&](uint32_t k) { return of_class.data() + (size_t{k} * planes + plane) * words; };
      if (pixels.size() == 1) {
        spread_depthwise_lanes(lanes, of(pixels[0]), words);
      } else {
        for (size_t i = 0; i < pixels.size(); ++i) std::copy_n(of(pixels[i]), words, lanes + i * words);
      }
    }
  spread_depthwise_lanes(own.flip_and_real.as<uint32_t>(), pack([&](uint32_t c) { return p.flip ? p.flip[c / 32] >> (c % 32) & 1 : 0; }), words);
  spread_depthwise_lanes(own.flip_and_real.as<uint32_t>() + own.lanes, pack([](uint32_t) { return 1; }), words);
}

}  // namespace

void spread_depthwise_lanes(uint32_t* lanes, const uint32_t* row, uint32_t words) {
  const uint32_t width = depthwise_lanes(words), used = words < 16 ? 16 / words * words : words;
  for (uint32_t l = 0; l < width; ++l) lanes[l] = l < used ? row[l % words] : 0;
}

std::unique_ptr<const PreparedDepthwise> make_depthwise(const PreparedOp& p, const OpInfo& op, const ValueInfo& in, uint32_t classes, bool in_registers) {
  const uint32_t words = in.words(), block = p.kernels.depthwise->block;
  auto own = std::make_unique<PreparedDepthwise>();
  own->multiplier = op.out_channels / in.channels();
  own->lanes = depthwise_lanes(words);
  own->run = runs(*p.table, words);
  if (in_registers) {
    if (words * 2 <= block)
      own->phases = PhasedMap::make({op.geometry, {in.dims[0], in.dims[1], in.dims[2]}, op.out, words, false, block / words, block_cycles(p.taps), (words + 1) / 2,
                                     180, cycles_of_runs(*own, words, block, p.taps), 3, p.kernels.depthwise->arrange});
    set_bounds(*own, p, in.channels(), words, classes);
  }
  return own;
}

}  // namespace bitwright
