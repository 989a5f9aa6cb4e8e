// A band of a map of bits, copied by phases (phase_axis.h): every tap of neighbouring output pixels lies at neighbouring positions, whatever the stride,
// the dilation and the width, so that one run of positions holds all output pixels of the band and a kernel's lanes are full of pixels. Between
// the rows of output lie some positions that are nobody's (the *gap*).
//
// The words of a position follow each other, or (*planar*) the positions of a word do.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "arrangement.h"
#include "phase_axis.h"

namespace bitwright {

class PhasedMap {
 public:
  struct Problem {
    Geometry geometry;
    std::array<uint32_t, 3> in, out;
    uint32_t words;           // of an input pixel
    bool planar;
    uint32_t block;           // positions of a kernel's block
    uint64_t block_cycles;    // roughly, the time of a block
    uint64_t pixel_cycles;    // of writing an output pixel
    uint64_t call, cost;      // and of a call and a sample without such a map
    uint32_t samples;         // of a run, for which it is to cost less
    Arrangement::Kernel kernel = nullptr;  // that brings words into order
  };

  // Null where it would cost more than without, or cannot be (transposed convolutions, tables of more than 64 MiB).
  static std::unique_ptr<const PhasedMap> make(const Problem& problem);

  // A band is some rows of a slice of one sample, or several whole samples.
  uint32_t bands() const { return out_[0] * bands_of_slice_; }
  uint32_t samples() const { return samples_; }  // of a band, at most
  uint32_t positions(uint32_t band, uint32_t samples = 1) const { return (samples - 1) * line_pixels_ + (rows(band) - 1) * pitch_ + out_[2]; }
  uint32_t most_positions() const { return (samples_ - 1) * line_pixels_ + (rows_ - 1) * pitch_ + out_[2]; }
  uint64_t cycles(uint32_t samples) const;  // roughly
  // Words from an output pixel's position to its taps' [taps], and of a planar map from one word to the next.
  const std::vector<int32_t>& taps() const { return tap_; }
  size_t plane() const { return plane_; }
  size_t arranged_words() const { return arranged_words_; }  // of a band, at most
  size_t table_bytes() const { return words_of_.bytes() + tap_.size() * 4; }

  // The output pixel of a sample at a position, or kNone.
  uint32_t pixel(uint32_t band, uint32_t position) const {
    position %= line_pixels_;
    const uint32_t y = position / pitch_, x = position % pitch_;
    return y < rows(band) && x < out_[2] ? first_pixel(band) + y * out_[2] + x : kNone;
  }

  // The input of a band. `sample`: its first pixel, behind whose last one lies the padding pixel; the next one `stride` words further on.
  void arrange(const uint32_t* sample, size_t stride, uint32_t samples, uint32_t band, uint32_t* to) const;

  // copy(first position, pixels, first output pixel of the sample, sample) for each row of output.
  template <class Copy>
  void for_rows(uint32_t band, uint32_t samples, const Copy& copy) const {
    for (uint32_t s = 0; s < samples; ++s) {
      const size_t position = size_t{s} * line_pixels_;
      if (pitch_ == out_[2]) {
        copy(position, rows(band) * pitch_, first_pixel(band), s);
        continue;
      }
      for (uint32_t y = 0; y < rows(band); ++y) copy(position + y * pitch_, out_[2], first_pixel(band) + y * out_[2], s);
    }
  }

 private:
  uint64_t of_band(uint32_t samples) const;   // cycles of its blocks
  uint32_t rows(uint32_t band) const;         // of output
  uint32_t first_pixel(uint32_t band) const;  // of output

  std::array<uint32_t, 3> out_{};
  uint32_t words_ = 1, samples_ = 1, rows_ = 1, bands_of_slice_ = 1, pitch_ = 0;
  uint32_t line_pixels_ = 1;  // of an arranged sample; the lines of the samples of a band lie side by side
  bool planar_ = false;
  uint64_t block_cycles_ = 0, sample_cycles_ = 0;  // sample_cycles_: beside its blocks
  uint32_t block_ = 1;
  size_t line_ = 0, plane_ = 0, arranged_words_ = 0;  // line_: words from one to the next
  Arrangement words_of_;  // a run of each band; of several samples' lines each by itself
  std::vector<int32_t> tap_;
};

}  // namespace bitwright
