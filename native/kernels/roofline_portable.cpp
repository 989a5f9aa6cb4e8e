// Loops in plain C++, whatever the compiler makes of them.
#include <cstring>

#include "entries.h"
#include "roofline.h"

namespace bitwright {
namespace {

constexpr int kLanes = 16;

// Keeps the compiler from seeing that a loop does the same again and again.
template <class T>
void hide(T& value) {
  volatile T copy = value;
  value = copy;
}

uint64_t count(uint64_t v) {
  v -= (v >> 1) & 0x5555555555555555u;
  v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
  return (((v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u) >> 56;
}

void popcount(uint64_t iterations, void*, size_t) {
  uint64_t sums[kLanes] = {}, w = 0x123456789ABCDEFu;
  for (uint64_t i = 0; i < iterations; ++i) {
    hide(w);
    for (int j = 0; j < kLanes; ++j) sums[j] += count((w + static_cast<uint64_t>(j)) ^ sums[j]);
  }
  for (uint64_t& s : sums) hide(s);
}

void multiply_add(uint64_t iterations, void*, size_t) {
  float sums[4 * kLanes] = {}, a = 1.0f;
  for (float& s : sums) hide(s);  // or the compiler sees that they are all the same
  for (uint64_t i = 0; i < iterations; ++i) {
    hide(a);
    for (float& s : sums) s = s * 0.5f + a;
  }
  for (float& s : sums) hide(s);
}

void multiply_add_int(uint64_t iterations, void*, size_t) {
  int32_t sums[4 * kLanes] = {}, a = 3;
  for (int32_t& s : sums) hide(s);
  for (uint64_t i = 0; i < iterations; ++i) {
    hide(a);
    for (int32_t& s : sums) s = static_cast<int16_t>(s) * static_cast<int16_t>(a) + 1;
  }
  for (int32_t& s : sums) hide(s);
}

void read(uint64_t iterations, void* buffer, size_t bytes) {
  const auto* words = static_cast<const uint64_t*>(buffer);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; ++i) {
    uint64_t parts[8] = {};
    for (size_t k = 0; k < bytes / 8; k += 8)
      for (int j = 0; j < 8; ++j) parts[j] ^= words[k + static_cast<size_t>(j)];
    for (uint64_t p : parts) sum += p;
    hide(sum);
  }
}

void write(uint64_t iterations, void* buffer, size_t bytes) {
  for (uint64_t i = 0; i < iterations; ++i) {
    int value = static_cast<int>(i);
    hide(value);
    std::memset(buffer, value, bytes);
  }
}

}  // namespace

const RooflineLoop roofline_portable[] = {
    {"popcount_portable", "portable", RooflineFamily::kBinary, "popcount by shifts, masks and one multiplication of 64 bits", supports_portable, 64.0 * kLanes, popcount},
    {"fma_portable", "portable", RooflineFamily::kFloat, "multiply and add as compiled", supports_portable, 4.0 * kLanes, multiply_add},
    {"dot_portable", "portable", RooflineFamily::kInt8, "integer multiply and add as compiled", supports_portable, 4.0 * kLanes, multiply_add_int},
    {"read_portable", "portable", RooflineFamily::kRead, "64-bit loads as compiled", supports_portable, 1, read},
    {"write_portable", "portable", RooflineFamily::kWrite, "memset", supports_portable, 1, write},
    {},
};

}  // namespace bitwright
