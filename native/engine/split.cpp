#include "split.h"

#include <algorithm>

namespace bitwright {
namespace {

constexpr uint64_t kItemCycles = 2000;  // an item costs some 300 cycles to take and to set up
constexpr uint32_t kCandidates = 8;     // chunk sizes that are compared

size_t ceil_div(size_t n, size_t by) { return (n + by - 1) / by; }

}  // namespace

Split split_work(size_t pixels, uint32_t units, uint32_t mr, uint64_t cycles, unsigned threads) {
  const uint32_t largest = std::max(kChunk / mr, 1u) * mr;
  Split split;
  split.chunk = largest;
  split.chunks = ceil_div(pixels, largest);
  if (threads == 1) return split;
  const size_t wanted = static_cast<size_t>(std::clamp<uint64_t>(cycles / kItemCycles, 1, uint64_t{threads} * 4));
  if (split.items() < wanted) split.slices = std::min<size_t>(units, ceil_div(wanted, split.chunks));
  if (split.items() < wanted) {
    split.chunks = ceil_div(wanted, split.slices);
    split.chunk = static_cast<uint32_t>(ceil_div(ceil_div(pixels, split.chunks), mr) * mr);
  }
  // The time of the slowest thread, in tiles, if items take equally long.
  size_t best = SIZE_MAX;
  const uint32_t start = split.chunk;
  for (uint32_t i = 0; i < kCandidates && start > i * mr; ++i) {
    const uint32_t chunk = start - i * mr;
    if (2 * chunk < start) break;
    const size_t chunks = ceil_div(pixels, chunk), time = ceil_div(chunks * split.slices, threads) * (chunk / mr);
    if (time >= best) continue;
    best = time;
    split.chunk = chunk;
    split.chunks = chunks;
  }
  return split;
}

}  // namespace bitwright
