// Rows to bits in portable C++17: 32 compares into bytes, which compilers turn into vectors, then 8 bytes at a time into bits by a multiplication.
#include <cstring>

#include "isa.h"

#include "entries.h"
#include "kernel_pack.h"

namespace bitwright {
namespace {

using Bits = uint32_t;

template <class T>
struct Threshold {
  T v;
  explicit Threshold(const T* one) : v(*one) {}
  T operator[](size_t) const { return v; }
};

// Byte j of `from`, 0 or 1, becomes bit j.
inline uint32_t bits_of(const uint8_t* from) {
  uint32_t word = 0;
  for (int k = 0; k < 4; ++k) {
    uint64_t bytes = 0;
    for (int j = 0; j < 8; ++j) bytes |= static_cast<uint64_t>(from[8 * k + j]) << (8 * j);
    word |= static_cast<uint32_t>(bytes * 0x0102040810204080u >> 56) << (8 * k);
  }
  return word;
}

template <class T, class Thresholds>
inline uint32_t ge(const T* x, const Thresholds& t) {
  uint8_t bytes[32];
  for (size_t j = 0; j < 32; ++j) bytes[j] = x[j] >= t[j];
  return bits_of(bytes);
}

template <class T, class Thresholds>
inline uint32_t ge_tail(const T* x, const Thresholds& t, uint32_t n) {
  uint32_t word = 0;
  for (uint32_t j = 0; j < n; ++j) word |= static_cast<uint32_t>(x[j] >= t[j]) << j;
  return word;
}

#include "pack_rows.h"

const PackKernel kernel = {
    "pack_portable", "portable", "C++17, 32 channels a block", kRankPortable, supports_portable,
    pack_rows<float>, pack_rows<int16_t>, pack_rows<int8_t>, pack_rows<uint8_t>,
};

}  // namespace

const PackKernel* const pack_portable = &kernel;

}  // namespace bitwright
