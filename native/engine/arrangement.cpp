#include "arrangement.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace bitwright {
namespace {

// Cycles, as measured on Zen 5.
constexpr uint32_t kLongPixel = 8;  // words: whose planes one by one would read a cache line for each word
constexpr uint64_t kPiece = 4, kBlock = 3, kPlane = 8, kRun = 15, kLine = 4;

}  // namespace

Arrangement::Arrangement(Problem&& problem) : p_(std::move(problem)) {
  const uint64_t words = p_.source.size() * uint64_t{p_.words};
  cycles_ = words + words / (p_.planar && p_.words >= kLongPixel ? 2 : 8) + calls();
  if (p_.kernel == nullptr || cut()) return;
  first_.clear(), block_.clear(), piece_.clear();
}

// Of runs, planes and lines, beside their words.
uint64_t Arrangement::calls() const {
  const uint64_t planes = p_.planar ? p_.words : 1;
  return p_.source.size() / (p_.lines * p_.length) * (kRun + planes * (kPlane + p_.lines * kLine));
}

// False where words one by one cost less.
bool Arrangement::cut() {
  constexpr int32_t kNone = -1;
  const uint32_t words = p_.words, planes = p_.planar ? words : 1, each = p_.planar ? 1 : words;  // each: words of a pixel in a run
  const size_t runs = p_.source.size() / (p_.lines * p_.length), length = p_.length * each;
  const size_t window = kArrangeWindow + planes - 1;
  if (p_.map_words < window) return false;
  const auto last = static_cast<int32_t>(p_.map_words - window);
  const bool pads = kArrangeLanes % each == 0;  // the words of the padding are the same in every block
  blocks_ = (length + kArrangeLanes - 1) / kArrangeLanes;
  const uint64_t fixed = calls(), most = (cycles_ - fixed) / planes;
  for (size_t run = 0; run < runs; ++run) {
    first_.push_back(static_cast<uint32_t>(piece_.size()));
    for (size_t n = 0; n < p_.lines * blocks_; ++n) {
      const int32_t* source = p_.source.data() + (run * p_.lines + n / blocks_) * p_.length;
      const size_t b = n % blocks_;
      ArrangeBlock block{};
      int32_t from[kArrangeLanes];
      for (uint32_t lane = 0; lane < kArrangeLanes; ++lane) {
        const size_t at = b * kArrangeLanes + lane;
        const int32_t pixel = at < length ? source[at / each] : kNone;
        const bool padding = pixel == p_.padding && pads;
        if (padding) block.padding |= static_cast<uint16_t>(1u << lane);
        from[lane] = pixel == kNone || padding ? kNone : pixel + static_cast<int32_t>(at % each);
      }
      for (;;) {
        int32_t least = kNone;
        for (int32_t f : from)
          if (f != kNone && (least == kNone || f < least)) least = f;
        if (least == kNone) break;
        ArrangePiece piece{std::min(least, last), 0, {}};
        for (uint32_t lane = 0; lane < kArrangeLanes; ++lane) {
          if (from[lane] == kNone || from[lane] - piece.first >= static_cast<int32_t>(kArrangeWindow)) continue;
          piece.lanes |= static_cast<uint16_t>(1u << lane);
          piece.index[lane] = static_cast<uint8_t>(from[lane] - piece.first);
          from[lane] = kNone;
        }
        piece_.push_back(piece);
        ++block.pieces;
      }
      block_.push_back(block);
      if (kPiece * piece_.size() + kBlock * block_.size() >= most) return false;
    }
  }
  cycles_ = planes * (kPiece * piece_.size() + kBlock * block_.size()) + fixed;
  p_.source.clear();
  p_.source.shrink_to_fit();
  return true;
}

void Arrangement::fill(const uint32_t* sample, size_t run, uint32_t* to, size_t line, size_t plane) const {
  const uint32_t planes = p_.planar ? p_.words : 1, each = p_.planar ? 1 : p_.words;
  if (!block_.empty()) {
    const bool pads = p_.padding >= 0 && kArrangeLanes % each == 0;
    p_.kernel({to, line, plane, sample, pads ? sample + p_.padding : sample, pads ? each : 1, p_.lines, planes, block_.data() + run * p_.lines * blocks_,
               piece_.data() + first_[run], blocks_});
    return;
  }
  if (planes >= kLongPixel) {
    const int32_t* source = p_.source.data() + run * p_.lines * p_.length;
    for (uint32_t n = 0; n < p_.lines; ++n, to += line)
      for (size_t i = 0; i < p_.length; ++i, ++source)
        for (uint32_t w = 0; w < planes; ++w) to[w * plane + i] = sample[static_cast<size_t>(*source) + w];
    return;
  }
  const auto copy = [&](auto words) {
    for (uint32_t w = 0; w < planes; ++w, to += plane, ++sample) {
      const int32_t* source = p_.source.data() + run * p_.lines * p_.length;
      for (uint32_t n = 0; n < p_.lines; ++n) {
        uint32_t* at = to + n * line;
        for (const int32_t* end = source + p_.length; source != end; ++source)
          for (uint32_t k = 0; k < words; ++k) *at++ = sample[*source + static_cast<int32_t>(k)];
      }
    }
  };
  switch (each) {
    case 1: copy(std::integral_constant<uint32_t, 1>()); break;
    case 2: copy(std::integral_constant<uint32_t, 2>()); break;
    case 3: copy(std::integral_constant<uint32_t, 3>()); break;
    case 4: copy(std::integral_constant<uint32_t, 4>()); break;
    case 8: copy(std::integral_constant<uint32_t, 8>()); break;
    default: copy(each); break;
  }
}

}  // namespace bitwright
