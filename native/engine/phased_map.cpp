#include "phased_map.h"

#include <algorithm>
#include <utility>

namespace bitwright {
namespace {

constexpr size_t kBandWords = 4096;                // a third of L1: input and output of a band stay there
constexpr uint64_t kBandPositions = 512, kMostSamples = 64;  // of a band of several samples
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
  l.line_pixels_ = static_cast<uint32_t>(line_pixels);
  const size_t band_pixels = lines * line_pixels, of_position = l.planar_ ? 1 : words;
  if (band_pixels * l.bands() > kMostPixels || band_pixels * words > kMostPixels) return nullptr;
  l.block_ = problem.block;
  l.block_cycles_ = problem.block_cycles;
  if (l.bands() == 1) {
    const uint64_t most = std::clamp<uint64_t>(std::min(kBandWords / (band_pixels * words), kBandPositions / line_pixels), 1, kMostSamples);
    const auto each = [&](uint32_t samples) { return l.of_band(samples) / samples; };
    for (uint32_t samples = 2; samples <= most; ++samples)  // what lies between them may cost more than the blocks that they share save
      if (each(samples) < each(l.samples_)) l.samples_ = samples;
  }
  const bool apart = l.samples_ > 1;  // the lines of a sample; what an arrangement overwrites behind the last sample's lies between them
  l.line_ = l.samples_ * line_pixels * of_position + (apart ? kArrangeLanes : 0);
  l.plane_ = lines * l.line_ + kArrangeLanes;
  l.arranged_words_ = l.plane_ * (l.planar_ ? words : 1) + problem.block * of_position;  // a block may read past the end
  const uint64_t written = uint64_t{out[0]} * out[1] * ((l.pitch_ == out[2] ? 12 / l.rows_ : 12) + out[2] * problem.pixel_cycles);
  const auto costs_more = [&](uint64_t arranged) {
    l.sample_cycles_ = written + arranged;
    return l.cycles(problem.samples) >= problem.call + problem.samples * problem.cost;
  };
  if (costs_more(band_pixels * words * l.bands() / 3)) return nullptr;

  const int64_t pixels = int64_t{in[0]} * in[1] * in[2];
  bool padded = false;
  Arrangement::Problem source{{}, apart ? static_cast<uint32_t>(lines) : 1, apart ? line_pixels : band_pixels, words, l.planar_, 0, -1, problem.kernel};
  source.source.reserve(l.bands() * band_pixels);
  for (uint32_t b = 0; b < l.bands(); ++b)
    for (uint32_t i = 0; i < g.kernel[0]; ++i)
      for (uint32_t ph : height.phases)
        for (uint32_t pw : width.phases)
          for (uint32_t n = 0; n < line_pixels; ++n) {
            const uint32_t r = std::min(n / l.pitch_, arranged_rows - 1), x = n - r * l.pitch_;
            const int64_t d = phase_source(g, 0, in[0], depth.phases[depth.phase[i]], b / l.bands_of_slice_ + depth.shift[i]);
            const int64_t h = phase_source(g, 1, in[1], ph, b % l.bands_of_slice_ * l.rows_ + r), w = phase_source(g, 2, in[2], pw, x);
            const bool inside = d >= 0 && h >= 0 && w >= 0;
            padded = padded || !inside;
            source.source.push_back(static_cast<int32_t>((inside ? (d * in[1] + h) * in[2] + w : pixels) * words));
          }
  if (padded) source.padding = static_cast<int32_t>(pixels * words);
  source.map_words = static_cast<size_t>(pixels + (padded ? 1 : 0)) * words;
  l.words_of_ = Arrangement(std::move(source));
  if (costs_more(l.words_of_.cycles())) return nullptr;
  for (uint32_t i = 0; i < g.kernel[0]; ++i)
    for (uint32_t j = 0; j < g.kernel[1]; ++j)
      for (uint32_t k = 0; k < g.kernel[2]; ++k) {
        const size_t line = (size_t{i} * height.phases.size() + height.phase[j]) * width.phases.size() + width.phase[k];
        l.tap_.push_back(static_cast<int32_t>(line * l.line_ + (height.shift[j] * l.pitch_ + width.shift[k]) * of_position));
      }
  return own;
}

uint64_t PhasedMap::of_band(uint32_t samples) const { return 92 + (positions(0, samples) + block_ - 1) / block_ * block_cycles_; }

uint64_t PhasedMap::cycles(uint32_t samples) const {
  const uint32_t full = samples / samples_, rest = samples % samples_;
  return 205 + bands() * (full * of_band(samples_) + (rest == 0 ? 0 : of_band(rest))) + samples * sample_cycles_;
}

uint32_t PhasedMap::rows(uint32_t band) const { return std::min(rows_, out_[1] - band % bands_of_slice_ * rows_); }

uint32_t PhasedMap::first_pixel(uint32_t band) const { return (band / bands_of_slice_ * out_[1] + band % bands_of_slice_ * rows_) * out_[2]; }

void PhasedMap::arrange(const uint32_t* sample, size_t stride, uint32_t samples, uint32_t band, uint32_t* to) const {
  for (uint32_t s = 0; s < samples; ++s) words_of_.fill(sample + s * stride, band, to + s * line_pixels_ * (planar_ ? 1 : words_), line_, plane_);
}

}  // namespace bitwright
