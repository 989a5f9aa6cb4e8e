// The cells of a job that one thread is to do first: it takes them from one end, and who has none left takes from the other end. In one word, so that a
// compare-and-swap takes some; the job's tag in it, so that who comes too late for a job takes none of the next one's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bitwright {

struct Span {
  static constexpr unsigned kBits = 26, kTagBits = 64 - 2 * kBits;
  static constexpr uint64_t kMost = uint64_t{1} << 24;  // cells of a job

  uint32_t tag, begin, end;

  static Span unpack(uint64_t word) {
    constexpr uint64_t mask = (uint64_t{1} << kBits) - 1;
    return {static_cast<uint32_t>(word >> (2 * kBits)), static_cast<uint32_t>(word >> kBits & mask), static_cast<uint32_t>(word & mask)};
  }
  uint64_t pack() const { return uint64_t{tag} << (2 * kBits) | uint64_t{begin} << kBits | end; }
  static uint32_t tag_of(uint64_t job) { return static_cast<uint32_t>(job & ((uint64_t{1} << kTagBits) - 1)); }

  uint32_t size() const { return end - begin; }
  // Cuts off n cells, at most all, from one of the ends, and gives them.
  Span take(uint32_t n, bool from_end) {
    n = std::min(n, size());
    if (from_end) {
      end -= n;
      return {tag, end, end + n};
    }
    begin += n;
    return {tag, begin - n, begin};
  }
};

// How many of `left` cells to take at a time: about half, so that the last ones are small and nobody waits long at the end; `least` at least, since each
// time costs something; whole steps, of steps or more.
inline uint32_t part_of(uint32_t left, uint32_t least, uint32_t step) {
  const uint32_t n = std::max({(left + 1) / 2, least, 1u});
  return n > step ? n - n % step : n;
}

// A thread's first part: three quarters of its cells.
inline uint32_t first_part_of(uint32_t all, uint32_t least, uint32_t step) {
  const uint32_t n = std::max({all - all / 4, least, 1u});
  return n > step ? n - n % step : n;
}

}  // namespace bitwright
