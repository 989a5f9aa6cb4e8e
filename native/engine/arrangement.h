// Copies of the words of a map in another order, in *runs* of lines: the words of a run come from one sample, those of a line lie one after the other. By a
// kernel's permutations (arrange.h) where they pay, else word by word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "arrange.h"

namespace bitwright {

class Arrangement {
 public:
  using Kernel = void (*)(const ArrangeJob& job);

  struct Problem {
    std::vector<int32_t> source;  // [runs][lines][length]: the first word of each pixel
    uint32_t lines;
    size_t length;                // pixels of a line
    uint32_t words;               // of a pixel
    bool planar;                  // a line is [words][length] with `plane` words from one to the next, else [length][words]
    size_t map_words;             // of a sample, that may be read
    int32_t padding;              // source of a pixel in the padding
    Kernel kernel;                // or null
  };

  Arrangement() = default;
  explicit Arrangement(Problem&& problem);

  // A run, its lines `line` words apart. Up to kArrangeLanes - 1 words behind a line (of each plane) are overwritten before those of the next.
  void fill(const uint32_t* sample, size_t run, uint32_t* to, size_t line, size_t plane) const;

  uint64_t cycles() const { return cycles_; }  // of all runs, roughly
  size_t bytes() const { return p_.source.size() * 4 + block_.size() * sizeof(ArrangeBlock) + piece_.size() * sizeof(ArrangePiece) + first_.size() * 4; }

 private:
  bool cut();
  uint64_t calls() const;

  Problem p_{};
  uint64_t cycles_ = 0;
  size_t blocks_ = 0;               // of a line or, planar, of a plane of one
  std::vector<uint32_t> first_;     // [runs]: piece
  std::vector<ArrangeBlock> block_; // [runs][lines][blocks_]; empty: word by word
  std::vector<ArrangePiece> piece_;
};

}  // namespace bitwright
