#include "phased_map.h"

#include <algorithm>
#include <type_traits>

namespace bitwright {
namespace {

constexpr size_t kBandWords = 4096;                // a third of L1: input and output of a band stay there
constexpr uint64_t kMostPixels = uint64_t{1} << 24;  // of all bands

}  // namespace

std::unique_ptr<const PhasedMap> PhasedMap::make(const Problem& problem) {
  const Geometry& g = problem.geometry;
  const auto &in = problem.in, &out = problem.out;
  const uint32_t words = problem.words;
  if (g.transposed) return nullptr;
  auto own = std::make_unique<PhasedMap>();
  PhasedMap& l = *own;
  l.out_ = out;
  l.words_ = words;
  l.planar_ = problem.planar;
  const PhaseAxis depth = make_phase_axis(g, 0), height = make_phase_axis(g, 1), width = make_phase_axis(g, 2);
  const uint32_t row = out[2] + width.reach;
  // Rows may share their padding: what lies behind the end of one is the beginning of the next.
  const bool shared = g.stride[2] == 1 && g.pad_mode != PadMode::kReplicate;
  l.pitch_ = !shared ? row : std::min(row, std::max({out[2], in[2] + g.pad_begin[2], row - std::min(row, g.pad_begin[2])}));
  const uint64_t lines = uint64_t{g.kernel[0]} * height.phases.size() * width.phases.size();  // of arranged rows
  // Rows of output in a band: what fits, but not fewer than twice the rows that bands share.
  const uint64_t row_words = lines * l.pitch_ * words;
  const uint64_t fit = std::max<uint64_t>(kBandWords / row_words, uint64_t{3} * height.reach + 1) - height.reach;
  l.bands_of_slice_ = static_cast<uint32_t>((out[1] + fit - 1) / fit);
  l.rows_ = (out[1] + l.bands_of_slice_ - 1) / l.bands_of_slice_;
  l.bands_of_slice_ = (out[1] + l.rows_ - 1) / l.rows_;
  const uint32_t arranged_rows = l.rows_ + height.reach;
  const size_t line_pixels = size_t{arranged_rows} * l.pitch_ + (row - l.pitch_);
  l.band_pixels_ = lines * line_pixels;
  if (l.band_pixels_ * l.bands() > kMostPixels || l.band_pixels_ * words > kMostPixels) return nullptr;
  // Pixels in the padding would differ from their places in the next sample.
  bool padded = false;
  for (int k = 0; k < 3; ++k) padded = padded || g.pad_begin[k] != 0 || g.pad_end[k] != 0;
  if (g.taps() == 1 && l.bands() == 1 && !padded) l.samples_ = static_cast<uint32_t>(std::clamp<uint64_t>(kBandWords / (l.band_pixels_ * words), 1, 64));
  l.plane_ = l.band_pixels_ * l.samples_;
  l.arranged_words_ = l.plane_ * words + problem.block;  // a block may read past the end
  const uint64_t positions = l.samples_ > 1 ? l.most_positions() : (l.rows_ - 1) * l.pitch_ + out[2];
  const uint64_t blocks = (positions + problem.block - 1) / problem.block;
  const uint64_t arranged = l.band_pixels_ * (l.planar_ ? 2 * words : words + 1), written = l.rows_ * (10 + out[2] * problem.pixel_cycles);
  const uint64_t band = 50 + l.samples_ * (arranged + written) + blocks * problem.block_cycles;
  l.cycles_ = band * l.bands() / l.samples_;
  if (l.cycles_ >= problem.cost) return nullptr;

  const int64_t padding = int64_t{in[0]} * in[1] * in[2];
  l.source_.reserve(l.bands() * l.band_pixels_);
  for (uint32_t b = 0; b < l.bands(); ++b)
    for (uint32_t i = 0; i < g.kernel[0]; ++i)
      for (uint32_t ph : height.phases)
        for (uint32_t pw : width.phases)
          for (uint32_t n = 0; n < line_pixels; ++n) {
            const uint32_t r = std::min(n / l.pitch_, arranged_rows - 1), x = n - r * l.pitch_;
            const int64_t d = phase_source(g, 0, in[0], depth.phases[depth.phase[i]], b / l.bands_of_slice_ + depth.shift[i]);
            const int64_t h = phase_source(g, 1, in[1], ph, b % l.bands_of_slice_ * l.rows_ + r), w = phase_source(g, 2, in[2], pw, x);
            const bool inside = d >= 0 && h >= 0 && w >= 0;
            l.source_.push_back(static_cast<int32_t>((inside ? (d * in[1] + h) * in[2] + w : padding) * words));
          }
  for (uint32_t i = 0; i < g.kernel[0]; ++i)
    for (uint32_t j = 0; j < g.kernel[1]; ++j)
      for (uint32_t k = 0; k < g.kernel[2]; ++k) {
        const size_t line = (size_t{i} * height.phases.size() + height.phase[j]) * width.phases.size() + width.phase[k];
        l.tap_.push_back(static_cast<int32_t>((line * line_pixels + height.shift[j] * l.pitch_ + width.shift[k]) * (l.planar_ ? 1 : words)));
      }
  return own;
}

uint32_t PhasedMap::rows(uint32_t band) const { return std::min(rows_, out_[1] - band % bands_of_slice_ * rows_); }

uint32_t PhasedMap::first_pixel(uint32_t band) const { return (band / bands_of_slice_ * out_[1] + band % bands_of_slice_ * rows_) * out_[2]; }

void PhasedMap::arrange(const uint32_t* sample, size_t stride, uint32_t samples, uint32_t band, uint32_t* to) const {
  const int32_t* source = source_.data() + band * band_pixels_;
  const auto copy = [&](auto words, size_t pixel, size_t word) {
    for (size_t i = 0; i < band_pixels_; ++i)
      for (uint32_t w = 0; w < words; ++w) to[i * pixel + w * word] = sample[source[i] + static_cast<int32_t>(w)];
  };
  for (uint32_t s = 0; s < samples; ++s, sample += stride, to += band_pixels_ * (planar_ ? 1 : words_)) {
    if (planar_ && words_ > 1) {
      copy(words_, 1, plane_);
      continue;
    }
    switch (words_) {
      case 1: copy(std::integral_constant<uint32_t, 1>(), 1, 1); break;
      case 2: copy(std::integral_constant<uint32_t, 2>(), 2, 1); break;
      case 4: copy(std::integral_constant<uint32_t, 4>(), 4, 1); break;
      case 8: copy(std::integral_constant<uint32_t, 8>(), 8, 1); break;
      default: copy(words_, words_, 1); break;
    }
  }
}

}  // namespace bitwright
