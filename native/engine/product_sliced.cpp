#include "product_sliced.h"

#include <algorithm>

#include "selection.h"

namespace bitwright {
namespace {

constexpr size_t kBlock = 64;                           // rows whose features are made at a time
constexpr size_t kFeatureBytes = size_t{448} << 10;     // of a thread's share of a chunk, about: half of L2, the other half is for a panel
constexpr size_t kSpareBuffers = 4;

}  // namespace

// Features of 64 rows lie together, [planes][64] bytes: a tile reads them from front to back, as it reads the weights.
struct SlicedProduct::Chunk {
  const uint32_t* a;  // of the first row
  size_t matrix, first, rows;
  uint8_t* features;
  const int32_t* ones;  // of its rows, or null
};

SlicedProduct::SlicedProduct(const SlicedKernel& kernel, const uint32_t* b, size_t batch, size_t rows, size_t words, Pool& pool)
    : kernel_(kernel), batch_(batch), rows_(rows), words_(words), slice_(1, static_cast<uint32_t>(words * 32), static_cast<uint32_t>(words)) {
  panel_bytes_ = kernel.panel_bytes(slice_);
  panels_per_matrix_ = (rows + kernel.panel - 1) / kernel.panel;
  panels_ = AlignedBuffer(std::max<size_t>(batch * panels_per_matrix_ * panel_bytes_, 64));
  pool.run(batch * panels_per_matrix_, [&](size_t item, unsigned) {
    const size_t matrix = item / panels_per_matrix_, first = item % panels_per_matrix_ * kernel.panel;
    const auto count = static_cast<uint32_t>(std::min<size_t>(kernel.panel, rows - first));
    kernel.pack(panels_.as<uint8_t>() + item * panel_bytes_, b + (matrix * rows + first) * words, count, slice_);
  });
  const size_t planes = slice_.map_planes() + slice_.joint_planes();
  block_bytes_ = (planes | 1) * kBlock;  // an odd number of lines: blocks do not collide in the caches
  for (uint32_t g = 0; g < slice_.whole + slice_.joint; ++g) step_.push_back(static_cast<int32_t>(2 * g * kBlock));
  last_ = static_cast<int32_t>(2 * step_.size() * kBlock);
  step_.resize(slice_.steps, 0);
  for (size_t i = 0; i < kBlock; ++i) source_.push_back(static_cast<int32_t>(i * words));
}

AlignedBuffer SlicedProduct::take(size_t bytes) const {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < spare_.size(); ++i)
      if (spare_[i].size() >= bytes) {
        AlignedBuffer buffer = std::move(spare_[i]);
        spare_.erase(spare_.begin() + static_cast<ptrdiff_t>(i));
        return buffer;
      }
  }
  return AlignedBuffer(bytes);
}

void SlicedProduct::give(AlignedBuffer buffer) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (spare_.size() == kSpareBuffers) spare_.erase(spare_.begin());
  spare_.push_back(std::move(buffer));
}

void SlicedProduct::features(const Chunk& chunk, size_t block) const {
  const size_t first = block * kBlock, real = std::min(kBlock, chunk.rows - first);
  uint8_t* const planes = chunk.features + block * block_bytes_;
  int32_t source[kBlock];
  std::copy(source_.begin(), source_.begin() + static_cast<ptrdiff_t>(real), source);
  std::fill(source + real, source + kBlock, source_[real - 1]);  // rows past the end: the last one again
  uint32_t runs = 0;
  if (words_ == 2) runs = (1u << (real / 8)) - 1;
  alignas(64) uint8_t spare[kBlock];
  static constexpr int32_t at_once = 0;
  kernel_.features({chunk.a + first * words_, source, runs, planes, kBlock, spare}, slice_);
  kernel_.joint({spare, &at_once, planes + slice_.map_planes() * kBlock, kBlock}, slice_);
}

void SlicedProduct::tiles(const Chunk& chunk, const ProductEnd& end, size_t panel, size_t first_group, size_t end_group) const {
  alignas(64) uint16_t counts[kMaxTilePixels * 64];
  uint32_t place[kMaxTilePixels];
  for (uint32_t i = 0; i < kMaxTilePixels; ++i) place[i] = i;
  ProductTile t = end.tile(counts, kernel_.panel);
  const size_t column = panel * kernel_.panel;
  end.panel(t, chunk.matrix, column, kernel_.panel);
  const uint8_t* weights = panels_.as<uint8_t>() + (chunk.matrix * panels_per_matrix_ + panel) * panel_bytes_;
  for (size_t group = first_group; group < end_group;) {
    const uint32_t groups = kernel_.tile_groups(end_group - group);
    const uint8_t* base[kMaxTilePixels / 8];
    for (uint32_t c = 0; c < groups; ++c) base[c] = chunk.features + (group + c) * 8 / kBlock * block_bytes_ + (group + c) * 8 % kBlock;
    t.rows = static_cast<uint32_t>(std::min<size_t>(groups * 8, chunk.rows - group * 8));
    uint8_t* const to = end.at(chunk.matrix, chunk.first + group * 8, column);
    end.prefetch(to, t.rows, t.columns);
    kernel_.count16(counts, place, {base, step_.data(), groups, last_, kBlock, weights}, slice_);
    if (chunk.ones != nullptr) t.row = chunk.ones + group * 8;
    t.out = to;
    end.finish(t);
    group += groups;
  }
}

void SlicedProduct::multiply(const uint32_t* a, const ProductEnd& end, Pool& pool) const {
  const size_t blocks = (end.m + kBlock - 1) / kBlock;
  const size_t at_once = std::clamp<size_t>(kFeatureBytes / block_bytes_ * pool.threads(), 1, blocks);
  AlignedBuffer buffer = take(at_once * block_bytes_);
  std::vector<int32_t> ones;
  for (size_t matrix = 0; matrix < batch_; ++matrix)
    for (size_t block = 0; block < blocks; block += at_once) {
      Chunk chunk{};
      chunk.matrix = matrix;
      chunk.first = block * kBlock;
      chunk.rows = std::min(at_once * kBlock, end.m - chunk.first);
      chunk.a = a + (matrix * end.m + chunk.first) * words_;
      chunk.features = buffer.as<uint8_t>();
      end.rows(ones, chunk.a, chunk.rows, words_);
      chunk.ones = ones.empty() ? nullptr : ones.data();
      const size_t here = (chunk.rows + kBlock - 1) / kBlock, groups = (chunk.rows + 7) / 8;
      pool.run(here, [&](size_t i, unsigned) { features(chunk, i); });
      const size_t wanted = pool.threads() == 1 ? 1 : size_t{pool.threads()} * 4;
      const size_t parts = std::clamp<size_t>((wanted + panels_per_matrix_ - 1) / panels_per_matrix_, 1, (groups + kernel_.mr - 1) / kernel_.mr);
      pool.run(panels_per_matrix_ * parts, [&](size_t item, unsigned) {
        const size_t part = item % parts;
        tiles(chunk, end, item / parts, part * groups / parts, (part + 1) * groups / parts);
      });
    }
  give(std::move(buffer));
}

}  // namespace bitwright
