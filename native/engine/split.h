// How a convolution's work is cut into items for the threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

constexpr uint32_t kChunk = 128;  // pixels of a work item, at most, unless another number is asked for

// Work is a grid of pixels x units of output channels. Items are taken by whoever is free, in order.
//
// They begin large and get small towards the end, because threads are never equally fast (the other half of a core may be busy, a worker may come
// late): each round takes about half of the pixels that are left, so that what the last ones wait for is short, and few items are needed.
// In a round each thread has a chunk of pixels, and neighbours in the order of items differ in it: outputs of one pixel share cache lines, which
// two threads had better not write at the same time. Where there are slices of units too, neighbours differ in both, and who goes on with
// the next item of the same slice has its weights at hand: the threads divide the weights among themselves.
class Split {
 public:
  struct Item {
    size_t first;     // pixel
    uint32_t pixels;
    uint32_t unit_begin, unit_end;
  };

  size_t items() const { return items_; }
  Item item(size_t i) const;

 private:
  friend Split split_work(size_t pixels, uint32_t units, uint32_t mr, uint64_t cycles, unsigned threads, uint32_t chunk);
  struct Round {
    size_t end_item, first_pixel;
    uint32_t chunk;           // pixels
    uint32_t chunks, slices;  // of one repetition
  };
  static constexpr unsigned kRounds = 24;
  void add(size_t tiles, uint32_t chunk_tiles, size_t chunks, size_t slices, size_t repetitions);

  size_t pixels_ = 0, items_ = 0, begun_ = 0;  // begun_: pixels of the rounds so far
  uint32_t units_ = 0, mr_ = 1;
  unsigned rounds_ = 0;
  Round round_[kRounds];
};

// `pixels`: of all samples; `units`: of output channels; `mr`: pixels of a tile; `cycles`: of the whole op, roughly; `chunk`: pixels of an item, at most,
// but one tile at least. One thread gets the fewest items.
Split split_work(size_t pixels, uint32_t units, uint32_t mr, uint64_t cycles, unsigned threads, uint32_t chunk = kChunk);

}  // namespace bitwright
