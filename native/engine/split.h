// How a convolution's work is cut for the threads: a grid of tiles of pixels x units of output channels, whose cells are numbered so that the threads of
// Pool::run_parts have regions of it.
//
// By pixels: the cells of a tile follow each other, so that a thread has some of the map, in every layer the same. It reads what it wrote itself, and its
// outputs share no cache lines with the other's.
// By units: for few tiles, or weights that a core's L2 cannot hold. A thread has some of the output channels, and their weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bitwright {

constexpr uint32_t kChunk = 128;  // pixels that a kernel's loops run over at a time, at most, unless another number is asked for

class Split {
 public:
  Split(size_t tiles, uint32_t units, bool by_units) : tiles_(tiles), units_(units), by_units_(by_units) {}

  // Whether to cut by units: `weights` are the bytes of all units.
  static bool by_units(size_t tiles, uint32_t units, size_t weights, unsigned threads) {
    constexpr size_t kMostShared = size_t{768} << 10, kTiles = 4;
    return units > 1 && (tiles < kTiles * threads || (weights > kMostShared && units >= threads));
  }

  size_t cells() const { return tiles_ * units_; }
  size_t step() const { return inner(); }  // cells that are better not separated

  // rectangle(first tile, end, first unit, end): the cells [begin, end) as three of them at most.
  template <class Rectangle>
  void rectangles(size_t begin, size_t end, const Rectangle& rectangle) const {
    const size_t n = inner();
    const auto emit = [&](size_t outer0, size_t outer1, size_t inner0, size_t inner1) {
      if (by_units_)
        rectangle(inner0, inner1, static_cast<uint32_t>(outer0), static_cast<uint32_t>(outer1));
      else
        rectangle(outer0, outer1, static_cast<uint32_t>(inner0), static_cast<uint32_t>(inner1));
    };
    while (begin < end) {
      const size_t outer = begin / n, at = begin % n;
      if (at == 0 && end - begin >= n) {
        emit(outer, end / n, 0, n);
        begin = end / n * n;
      } else {
        const size_t here = std::min(end - begin, n - at);
        emit(outer, outer + 1, at, at + here);
        begin += here;
      }
    }
  }

 private:
  size_t inner() const { return by_units_ ? tiles_ : units_; }

  size_t tiles_;
  uint32_t units_;
  bool by_units_;
};

}  // namespace bitwright
