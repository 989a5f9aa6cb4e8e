// A depthwise binary convolution on pixels of few words: a band of the input is copied by phases (phase_axis.h), so that one run of positions holds
// all output pixels of the band, and a kernel's block of 16 words is full of pixels whatever the stride, the dilation and the width of the map.
// Between the rows of output lie some positions that are nobody's (the *gap*).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "phase_axis.h"
#include "table.h"

namespace bitwright {

class DepthwisePhases {
 public:
  // Null where it suits less than the map as it lies: `cost` cycles a sample, given those of a block. `block`: words of the kernel's.
  static std::unique_ptr<const DepthwisePhases> make(const Geometry& g, const std::array<uint32_t, 3>& in, const std::array<uint32_t, 3>& out, uint32_t words,
                                                     uint32_t block, uint64_t block_cycles, uint64_t cost);

  uint32_t bands() const { return out_[0] * bands_of_slice_; }
  uint32_t rows(uint32_t band) const;            // of output
  uint32_t first_pixel(uint32_t band) const;     // of output
  uint32_t width() const { return out_[2]; }
  uint32_t pitch() const { return pitch_; }      // positions from a row of output to the next
  uint32_t positions(uint32_t band) const { return (rows(band) - 1) * pitch_ + out_[2]; }
  uint64_t cycles() const { return cycles_; }    // of a sample, roughly
  const int32_t* offsets() const { return offset_.data(); }  // [taps]: words from the position of an output pixel
  size_t arranged_words() const { return arranged_words_; }  // of a band, at most
  size_t output_words() const { return size_t{rows_} * pitch_ * words_; }
  size_t table_bytes() const { return (source_.size() + offset_.size()) * 4; }

  // The input of a band. `sample`: its first pixel, behind whose last one lies the padding pixel.
  void arrange(const uint32_t* sample, uint32_t band, uint32_t* to) const;

  // The padding classes of the pixels of each block of each band, as indices of rows of classes: [bands][blocks()], and [rows][pixels of a block].
  uint32_t blocks() const { return blocks_; }
  struct Classes {
    std::vector<uint32_t> row;
    std::vector<std::vector<uint32_t>> rows;
  };
  Classes classes(const Table& table) const;

 private:
  std::array<uint32_t, 3> out_{};
  uint32_t words_ = 1, pixels_of_block_ = 16;
  uint32_t rows_ = 1, bands_of_slice_ = 1, pitch_ = 0, blocks_ = 0, arranged_rows_ = 0;
  uint64_t cycles_ = 0;
  size_t arranged_words_ = 0;
  std::vector<int32_t> source_;  // [bands][arranged pixels]: words from the sample's first
  std::vector<int32_t> offset_;
};

}  // namespace bitwright
