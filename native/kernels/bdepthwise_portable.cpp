// Depthwise binary convolution in portable C++17: a block is eight words of 64 bits, counts come out of a table of spread bytes.
#include <cstring>

#include "entries.h"
#include "isa.h"
#include "kernel_depthwise.h"

namespace bitwright {
namespace {

// Bit i of the byte in byte i.
struct Spread {
  uint64_t bytes[256];
};

constexpr Spread make_spread() {
  Spread s{};
  for (unsigned byte = 0; byte < 256; ++byte)
    for (unsigned i = 0; i < 8; ++i) s.bytes[byte] |= static_cast<uint64_t>(byte >> i & 1u) << (8 * i);
  return s;
}

constexpr Spread spread_bits = make_spread();

struct Simd {
  static constexpr uint32_t kBlock = 16;
  struct V {
    uint64_t w[8];
  };
  struct Part {
    uint32_t n;
    explicit Part(uint32_t words) : n(words) {}
  };
  template <class F>
  static V each(const F& f) {
    V v;
    for (int i = 0; i < 8; ++i) v.w[i] = f(i);
    return v;
  }
  static V zero() { return each([](int) { return uint64_t{0}; }); }
  static V load(const uint32_t* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static V load(const uint32_t* p, const Part& part) {
    if (part.n == 16) return load(p);
    V v = zero();
    std::memcpy(&v, p, part.n * sizeof *p);
    return v;
  }
  static void store(uint32_t* p, const Part& part, const V& v) { std::memcpy(p, &v, part.n * sizeof *p); }
  static V exclusive(const V& a, const V& b) { return each([&](int i) { return a.w[i] ^ b.w[i]; }); }
  static V both(const V& a, const V& b) { return each([&](int i) { return a.w[i] & b.w[i]; }); }
  static V full_add(V& sum, const V& a, const V& b) {
    const V carry = each([&](int i) { return (a.w[i] & b.w[i]) | (sum.w[i] & (a.w[i] ^ b.w[i])); });
    sum = each([&](int i) { return sum.w[i] ^ a.w[i] ^ b.w[i]; });
    return carry;
  }
  static V half_add(V& sum, const V& a) {
    const V carry = both(sum, a);
    sum = exclusive(sum, a);
    return carry;
  }
  static V less(const V& lt, const V& count, const V& bound) {
    return each([&](int i) { return (bound.w[i] & ~count.w[i]) | (~(bound.w[i] ^ count.w[i]) & lt.w[i]); });
  }
  static void spread(uint16_t* to, const uint32_t (&planes)[4], bool add) {
    for (int byte = 0; byte < 4; ++byte) {
      uint64_t counts = 0;  // a byte each, at most 15
      for (int plane = 0; plane < 4; ++plane) counts += spread_bits.bytes[planes[plane] >> (8 * byte) & 255u] << plane;
      for (int i = 0; i < 8; ++i, counts >>= 8, ++to) *to = static_cast<uint16_t>((add ? *to : 0) + (counts & 255u));
    }
  }
};

#include "bdepthwise.h"

const DepthwiseKernel kernel = {
    "bdepthwise_portable", "portable", "C++17, vertical counters of 64 bits", kRankPortable, supports_portable, kBlock, count16, bits,
};

}  // namespace

const DepthwiseKernel* const bdepthwise_portable = &kernel;

}  // namespace bitwright
