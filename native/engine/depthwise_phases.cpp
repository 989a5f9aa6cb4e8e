#include "depthwise_phases.h"

#include <algorithm>
#include <map>
#include <type_traits>

namespace bitwright {
namespace {

constexpr size_t kBandWords = 4096;  // a third of L1: input and output of a band stay there
constexpr uint64_t kMostWords = uint64_t{1} << 24;  // of all bands

}  // namespace

std::unique_ptr<const DepthwisePhases> DepthwisePhases::make(const Geometry& g, const std::array<uint32_t, 3>& in, const std::array<uint32_t, 3>& out,
                                                             uint32_t words, uint32_t block, uint64_t block_cycles, uint64_t cost) {
  if (g.transposed || words * 2 > block) return nullptr;
  auto own = std::make_unique<DepthwisePhases>();
  DepthwisePhases& l = *own;
  l.out_ = out;
  l.words_ = words;
  l.pixels_of_block_ = block / words;
  const PhaseAxis depth = make_phase_axis(g, 0), height = make_phase_axis(g, 1), width = make_phase_axis(g, 2);
  l.pitch_ = out[2] + width.reach;
  const uint64_t lines = uint64_t{g.kernel[0]} * height.phases.size() * width.phases.size();  // of arranged rows
  // Rows of output in a band: what fits, but not fewer than twice the rows that bands share.
  const uint64_t row_words = lines * l.pitch_ * words;
  const uint64_t fit = std::max<uint64_t>(kBandWords / row_words, uint64_t{3} * height.reach + 1) - height.reach;
  l.bands_of_slice_ = static_cast<uint32_t>((out[1] + fit - 1) / fit);
  l.rows_ = (out[1] + l.bands_of_slice_ - 1) / l.bands_of_slice_;
  l.bands_of_slice_ = (out[1] + l.rows_ - 1) / l.rows_;
  l.arranged_rows_ = l.rows_ + height.reach;
  const uint64_t arranged = row_words * l.arranged_rows_;
  if (arranged * l.bands() > kMostWords) return nullptr;
  l.arranged_words_ = arranged;
  l.blocks_ = (((l.rows_ - 1) * l.pitch_ + out[2]) + l.pixels_of_block_ - 1) / l.pixels_of_block_;
  const uint64_t band = 50 + lines * l.arranged_rows_ * l.pitch_ * (words + 1) / 2 + l.blocks_ * block_cycles + l.rows_ * (12 + uint64_t{out[2]} * words / 3);
  l.cycles_ = band * l.bands();
  if (l.cycles_ >= cost) return nullptr;

  const int64_t padding = int64_t{in[0]} * in[1] * in[2];
  l.source_.reserve(size_t{l.bands()} * arranged / words);
  for (uint32_t b = 0; b < l.bands(); ++b)
    for (uint32_t i = 0; i < g.kernel[0]; ++i)
      for (uint32_t ph : height.phases)
        for (uint32_t pw : width.phases)
          for (uint32_t r = 0; r < l.arranged_rows_; ++r)
            for (uint32_t x = 0; x < l.pitch_; ++x) {
              const int64_t d = phase_source(g, 0, in[0], depth.phases[depth.phase[i]], b / l.bands_of_slice_ + depth.shift[i]);
              const int64_t h = phase_source(g, 1, in[1], ph, b % l.bands_of_slice_ * l.rows_ + r), w = phase_source(g, 2, in[2], pw, x);
              const bool inside = d >= 0 && h >= 0 && w >= 0;
              l.source_.push_back(static_cast<int32_t>((inside ? (d * in[1] + h) * in[2] + w : padding) * words));
            }
  for (uint32_t i = 0; i < g.kernel[0]; ++i)
    for (uint32_t j = 0; j < g.kernel[1]; ++j)
      for (uint32_t k = 0; k < g.kernel[2]; ++k) {
        const size_t line = (size_t{i} * height.phases.size() + height.phase[j]) * width.phases.size() + width.phase[k];
        l.offset_.push_back(static_cast<int32_t>(((line * l.arranged_rows_ + height.shift[j]) * l.pitch_ + width.shift[k]) * words));
      }
  return own;
}

uint32_t DepthwisePhases::rows(uint32_t band) const { return std::min(rows_, out_[1] - band % bands_of_slice_ * rows_); }

uint32_t DepthwisePhases::first_pixel(uint32_t band) const {
  return (band / bands_of_slice_ * out_[1] + band % bands_of_slice_ * rows_) * out_[2];
}

void DepthwisePhases::arrange(const uint32_t* sample, uint32_t band, uint32_t* to) const {
  const size_t pixels = arranged_words_ / words_;
  const int32_t* source = source_.data() + band * pixels;
  const auto copy = [&](auto words) {
    for (size_t i = 0; i < pixels; ++i, to += words)
      for (uint32_t w = 0; w < words; ++w) to[w] = sample[source[i] + static_cast<int32_t>(w)];
  };
  switch (words_) {
    case 1: return copy(std::integral_constant<uint32_t, 1>());
    case 2: return copy(std::integral_constant<uint32_t, 2>());
    case 4: return copy(std::integral_constant<uint32_t, 4>());
    case 8: return copy(std::integral_constant<uint32_t, 8>());
    default: return copy(words_);
  }
}

DepthwisePhases::Classes DepthwisePhases::classes(const Table& table) const {
  Classes result;
  std::map<std::vector<uint32_t>, uint32_t> index;
  result.row.resize(size_t{bands()} * blocks_);
  for (uint32_t band = 0; band < bands(); ++band)
    for (uint32_t block = 0; block * pixels_of_block_ < positions(band); ++block) {
      std::vector<uint32_t> row;
      for (uint32_t i = 0; i < pixels_of_block_; ++i) {
        const uint32_t position = block * pixels_of_block_ + i, y = position / pitch_, x = position % pitch_;
        row.push_back(y < rows(band) && x < out_[2] ? table.class_of[first_pixel(band) + y * out_[2] + x] : 0);
      }
      const auto [it, added] = index.emplace(std::move(row), static_cast<uint32_t>(result.rows.size()));
      if (added) result.rows.push_back(it->first);
      result.row[size_t{band} * blocks_ + block] = it->second;
    }
  return result;
}

}  // namespace bitwright
