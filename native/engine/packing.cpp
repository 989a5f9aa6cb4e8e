#include "packing.h"

#include <algorithm>
#include <cstdlib>

namespace bitwright {
namespace {

constexpr size_t kItemBytes = size_t{256} << 10;  // what a work item reads, about

struct Axis {
  size_t size;
  ptrdiff_t x;    // bytes from one to the next
  size_t bits;    // words from one to the next
};

size_t element_bytes(PackType type) { return type == PackType::kF32 ? 4 : type == PackType::kI16 ? 2 : 1; }

class Packing {
 public:
  Packing(const PackArray& array, const PackKernel& kernel, Pool& pool)
      : array_(array), pool_(pool), bytes_(element_bytes(array.type)), channels_(array.shape.back()), stride_(array.strides.back()) {
    switch (array.type) {
      case PackType::kF32: pack_ = kernel.f32; break;
      case PackType::kI16: pack_ = kernel.i16; break;
      case PackType::kI8: pack_ = kernel.i8; break;
      case PackType::kU8: pack_ = kernel.u8; break;
    }
    size_t words = (channels_ + 31) / 32;
    for (size_t k = array.shape.size() - 1; k-- > 0; words *= array.shape[k])
      if (array.shape[k] != 1) add_axis({array.shape[k], array.strides[k], words});
    if (axes_.empty()) axes_.push_back({1, 0, (channels_ + 31) / 32});
  }

  void run() {
    for (const Axis& axis : axes_)
      if (axis.size == 0) return;
    if (channels_ == 1 || stride_ == static_cast<ptrdiff_t>(bytes_))
      contiguous();
    else
      strided();
  }

 private:
  // Axes come from the innermost one; one that continues its neighbour is the same axis.
  void add_axis(const Axis& outer) {
    if (!axes_.empty()) {
      Axis& inner = axes_.back();
      if (outer.x == inner.x * static_cast<ptrdiff_t>(inner.size) && outer.bits == inner.bits * inner.size) {
        inner.size *= outer.size;
        return;
      }
    }
    axes_.push_back(outer);
  }

  // The first elements of combination i of the axes from `from` on.
  void place(size_t i, size_t from, const char*& x, uint32_t*& bits) const {
    x = static_cast<const char*>(array_.x);
    bits = array_.words;
    for (size_t k = from; k < axes_.size(); ++k) {
      const size_t at = i % axes_[k].size;
      i /= axes_[k].size;
      x += static_cast<ptrdiff_t>(at) * axes_[k].x;
      bits += at * axes_[k].bits;
    }
  }

  size_t combinations(size_t from) const {
    size_t n = 1;
    for (size_t k = from; k < axes_.size(); ++k) n *= axes_[k].size;
    return n;
  }

  // Rows whose channels lie one after the other: the kernel takes them where they are.
  void contiguous() {
    Axis inner = axes_[0];
    size_t channels = channels_;
    // Whole words and one threshold: all rows are one long row.
    if (!array_.per_channel && channels % 32 == 0 && inner.x == static_cast<ptrdiff_t>(channels * bytes_) && inner.bits == channels / 32) {
      const size_t total = channels * inner.size, piece = kItemBytes / bytes_;
      channels = std::min(total, piece);
      if (total % channels != 0) return long_row(total, piece);
      inner = {total / channels, static_cast<ptrdiff_t>(channels * bytes_), channels / 32};
    }
    const size_t block = std::clamp<size_t>(kItemBytes / (channels * bytes_), 1, inner.size);
    const size_t blocks = (inner.size + block - 1) / block;
    pool_.run(combinations(1) * blocks, [&](size_t item, unsigned) {
      const char* x;
      uint32_t* bits;
      place(item / blocks, 1, x, bits);
      const size_t first = item % blocks * block;
      pack_({bits + first * inner.bits, inner.bits, x + static_cast<ptrdiff_t>(first) * inner.x, inner.x, array_.threshold, array_.per_channel,
             std::min(block, inner.size - first), channels});
    });
  }

  void long_row(size_t total, size_t piece) {
    const size_t pieces = (total + piece - 1) / piece;
    pool_.run(combinations(1) * pieces, [&](size_t item, unsigned) {
      const char* x;
      uint32_t* bits;
      place(item / pieces, 1, x, bits);
      const size_t first = item % pieces * piece;
      pack_({bits + first / 32, 0, x + first * bytes_, 0, array_.threshold, false, 1, std::min(piece, total - first)});
    });
  }

  // Channels that lie apart, as in a map with channels first: tiles of rows x channels are transposed through L1. The axis whose rows lie closest
  // together runs fastest, so that a cache line is read once.
  void strided() {
    size_t closest = 0;
    for (size_t k = 1; k < axes_.size(); ++k)
      if (std::abs(axes_[k].x) < std::abs(axes_[closest].x)) closest = k;
    std::swap(axes_[0], axes_[closest]);
    const Axis inner = axes_[0];
    const size_t blocks = (inner.size + kRows - 1) / kRows;
    pool_.run(combinations(1) * blocks, [&](size_t item, unsigned) {
      const char* x;
      uint32_t* bits;
      place(item / blocks, 1, x, bits);
      const size_t first = item % blocks * kRows, rows = std::min(kRows, inner.size - first);
      x += static_cast<ptrdiff_t>(first) * inner.x;
      bits += first * inner.bits;
      for (size_t c = 0; c < channels_; c += kChannels) {
        const size_t width = std::min(kChannels, channels_ - c);
        alignas(64) char tile[kRows * kChannels * 4];
        const char* from = x + static_cast<ptrdiff_t>(c) * stride_;
        switch (bytes_) {
          case 4: transpose<uint32_t>(tile, from, rows, inner.x, width); break;
          case 2: transpose<uint16_t>(tile, from, rows, inner.x, width); break;
          default: transpose<uint8_t>(tile, from, rows, inner.x, width); break;
        }
        const char* threshold = static_cast<const char*>(array_.threshold) + (array_.per_channel ? c * bytes_ : 0);
        pack_({bits + c / 32, inner.bits, tile, static_cast<ptrdiff_t>(kChannels * bytes_), threshold, array_.per_channel, rows, width});
      }
    });
  }

  template <class Element>
  void transpose(void* to, const char* from, size_t rows, ptrdiff_t row_stride, size_t width) const {
    auto* tile = static_cast<Element*>(to);
    for (size_t c = 0; c < width; ++c, from += stride_)
      for (size_t r = 0; r < rows; ++r)
        tile[r * kChannels + c] = *reinterpret_cast<const Element*>(from + static_cast<ptrdiff_t>(r) * row_stride);
  }

  static constexpr size_t kRows = 64, kChannels = 128;

  const PackArray& array_;
  Pool& pool_;
  size_t bytes_, channels_;
  ptrdiff_t stride_;
  void (*pack_)(const PackRows&) = nullptr;
  std::vector<Axis> axes_;
};

}  // namespace

void pack_array(const PackArray& array, const PackKernel& kernel, Pool& pool) { Packing(array, kernel, pool).run(); }

}  // namespace bitwright
