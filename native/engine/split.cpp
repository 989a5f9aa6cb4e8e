#include "split.h"

#include <algorithm>

namespace bitwright {
namespace {

constexpr uint64_t kItemCycles = 2000;  // an item costs some 300 cycles to take and to set up

size_t ceil_div(size_t n, size_t by) { return (n + by - 1) / by; }

// The least number of equal slices that is not below `wanted`.
size_t slices_of(uint32_t units, size_t wanted) {
  size_t slices = std::clamp<size_t>(wanted, 1, units);
  while (units % slices != 0) ++slices;
  return slices;
}

}  // namespace

void Split::add(size_t tiles, uint32_t chunk_tiles, size_t chunks, size_t slices, size_t repetitions) {
  items_ += chunks * slices * repetitions;
  round_[rounds_++] = {items_, begun_, chunk_tiles * mr_, static_cast<uint32_t>(chunks), static_cast<uint32_t>(slices)};
  begun_ += tiles * mr_;
}

Split::Item Split::item(size_t i) const {
  unsigned r = 0;
  while (i >= round_[r].end_item) ++r;
  const Round& round = round_[r];
  const size_t k = i - (r == 0 ? 0 : round_[r - 1].end_item), each = size_t{round.chunks} * round.slices;
  const size_t repetition = k / each, place = k % each;
  size_t chunk = place % round.chunks, slice = place / round.chunks;
  // A square of as many slices as chunks: the step moves the chunk, the place within the step is the slice.
  if (round.slices % round.chunks == 0) {
    const size_t step = slice % round.chunks;
    slice = slice / round.chunks * round.chunks + chunk;
    chunk = (chunk + step) % round.chunks;
  }
  const size_t first = round.first_pixel + (repetition * round.chunks + chunk) * round.chunk;
  return {first, static_cast<uint32_t>(std::min<size_t>(round.chunk, pixels_ - first)), static_cast<uint32_t>(slice * units_ / round.slices),
          static_cast<uint32_t>((slice + 1) * units_ / round.slices)};
}

Split split_work(size_t pixels, uint32_t units, uint32_t mr, uint64_t cycles, unsigned threads, uint32_t chunk_pixels) {
  const size_t largest = std::max(chunk_pixels / mr, 1u), tiles = ceil_div(pixels, mr);
  Split split;
  split.pixels_ = pixels;
  split.units_ = units;
  split.mr_ = mr;
  if (threads == 1) {
    split.add(tiles, static_cast<uint32_t>(largest), 1, 1, ceil_div(tiles, largest));
    return split;
  }
  // Work in tiles x units.
  const size_t least = std::max<size_t>(1, kItemCycles * tiles * units / std::max<uint64_t>(cycles, 1));
  for (size_t left = tiles; left > 0;) {
    const size_t work = left * units, wanted = std::max(work / (size_t{threads} * 4), least);
    size_t chunks = std::clamp<size_t>(work / least, 1, std::min<size_t>(threads, left));
    size_t chunk = std::min(std::max(left / (2 * chunks), ceil_div(least, units)), largest);
    size_t repetitions = 1;
    if (split.rounds_ + 1 == Split::kRounds) {  // no room for smaller ones
      chunks = 1;
      repetitions = ceil_div(left, chunk);
    } else if (chunk * chunks > left) {
      chunks = 1;
      chunk = std::min(chunk, left);
    } else if (chunk == largest && left > 3 * chunks * largest) {
      repetitions = (left - 2 * chunks * largest) / (chunks * largest);
    }
    const size_t slices = slices_of(units, (chunk * units + wanted / 2) / wanted), taken = std::min(left, chunk * chunks * repetitions);
    split.add(taken, static_cast<uint32_t>(chunk), chunks, slices, repetitions);
    left -= taken;
  }
  return split;
}

}  // namespace bitwright
