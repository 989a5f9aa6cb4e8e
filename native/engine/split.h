// How a convolution's work is cut into items for the threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

constexpr uint32_t kChunk = 128;  // pixels of a work item, at most

// Items are chunks of pixels times slices of the units of output channels.
struct Split {
  uint32_t chunk = 0;  // pixels, a multiple of the tile's
  size_t chunks = 0;
  size_t slices = 1;
  size_t items() const { return chunks * slices; }
};

// `pixels`: of all samples; `units`: of output channels; `mr`: pixels of a tile; `cycles`: of the whole op, roughly. One thread gets the fewest items.
// Several get at least four each, as long as an item is worth handing over. Slices come first: they divide the weights among the threads too.
// Then the chunk is chosen so that the last round of items leaves nobody waiting.
Split split_work(size_t pixels, uint32_t units, uint32_t mr, uint64_t cycles, unsigned threads);

}  // namespace bitwright
