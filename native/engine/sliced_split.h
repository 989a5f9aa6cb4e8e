// How a sliced convolution's groups x panels are cut into items for the threads. Each thread makes the features that its items read, so that items
// are few, and a thread's lie side by side; they get small towards the end, as in split.h.
//
// Few weights: threads have a region of the groups each, with all panels, cut into a large part, a small one, and crumbs of one panel; the large
// parts come first.
// Weights that a core's L2 cannot hold: threads have panels, the last ones in halves, and each makes all features.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bitwright {

class SlicedSplit {
 public:
  struct Item {
    size_t first, end;  // groups
    uint32_t panel_begin, panel_end;
  };

  // `tile`: groups of a tile; `weights`: bytes of all panels.
  SlicedSplit(size_t groups, uint32_t panels, uint32_t tile, size_t weights, unsigned threads)
      : groups_(groups), panels_(panels), tile_(tile), threads_(threads),
        by_panels_(panels > 1 && (groups < size_t{2} * threads * tile || (weights > kMostShared && panels >= threads))) {
    if (by_panels_) return;
    if (groups < threads) threads_ = static_cast<unsigned>(groups);
    chunks_ = std::clamp<size_t>(small(groups / threads_, 12) / tile, 1, std::max(kCrumbs / panels, 1u));
  }

  size_t items() const { return by_panels_ ? panels_ + halves() : threads_ * (2 + chunks_ * panels_); }

  // May be empty.
  Item item(size_t i) const {
    if (by_panels_) {
      const size_t whole = panels_ - halves(), half = i < whole ? 0 : i - whole, panel = i < whole ? i : whole + half / 2;
      const size_t middle = (groups_ + 1) / 2, first = i >= whole && half % 2 == 1 ? middle : 0, end = i >= whole && half % 2 == 0 ? middle : groups_;
      return {first, end, static_cast<uint32_t>(panel), static_cast<uint32_t>(panel + 1)};
    }
    const size_t thread = i % threads_, part = i / threads_;
    const size_t begin = groups_ * thread / threads_, all = groups_ * (thread + 1) / threads_ - begin;
    const size_t crumbs = small(all, 12), middle = small(all - crumbs, 20), large = all - crumbs - middle;
    if (part == 0) return {begin, begin + large, 0, panels_};
    if (part == 1) return {begin + large, begin + large + middle, 0, panels_};
    const size_t chunk = (part - 2) % chunks_, tiles = crumbs / tile_, first = begin + large + middle;
    const auto panel = static_cast<uint32_t>((part - 2) / chunks_);
    return {first + tiles * chunk / chunks_ * tile_, first + tiles * (chunk + 1) / chunks_ * tile_, panel, panel + 1};
  }

 private:
  static constexpr size_t kMostShared = size_t{768} << 10;
  static constexpr uint32_t kCrumbs = 4;  // of a thread, unless there are more panels

  // Panels at the end that are cut in two, if both halves have tiles of more than one group.
  size_t halves() const { return groups_ >= 4 ? std::min<size_t>(threads_, panels_) : 0; }
  // A part of about this share, of whole tiles; none where little would be left.
  size_t small(size_t of, size_t percent) const {
    const size_t size = std::max<size_t>(of * percent / 100 / tile_, 1) * tile_;
    return size * 2 <= of ? size : 0;
  }

  size_t groups_, chunks_ = 1;  // chunks: of a region's crumbs
  uint32_t panels_, tile_;
  unsigned threads_;
  bool by_panels_;
};

}  // namespace bitwright
