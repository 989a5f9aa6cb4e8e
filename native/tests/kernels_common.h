// What the kernel tests share: random numbers, the kernels that this CPU has, aligned storage.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernel.h"

namespace bitwright::kernels_test {

using Random = std::mt19937;

inline uint32_t below(Random& r, uint32_t n) { return std::uniform_int_distribution<uint32_t>(0, n - 1)(r); }
inline uint32_t between(Random& r, uint32_t low, uint32_t high) { return low + below(r, high - low + 1); }
inline float normal(Random& r) { return std::normal_distribution<float>(0, 1)(r); }

// Mostly ordinary numbers, sometimes what breaks comparisons.
inline float awkward(Random& r) {
  const float inf = std::numeric_limits<float>::infinity();
  switch (below(r, 24)) {
    case 0: return std::numeric_limits<float>::quiet_NaN();
    case 1: return inf;
    case 2: return -inf;
    case 3: return 0.0f;
    case 4: return -0.0f;
    case 5: return std::numeric_limits<float>::denorm_min();
    case 6: return -std::numeric_limits<float>::max();
    default: return static_cast<float>(static_cast<int>(below(r, 2001)) - 1000) / 64.0f;
  }
}

// Equal bits, or both NaN (which NaN is not defined).
inline bool same(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class Kernel>
std::vector<const Kernel*> supported(const Kernel* const* list) {
  std::vector<const Kernel*> out;
  for (; *list != nullptr; ++list)
    if ((*list)->supported()) out.push_back(*list);
  return out;
}

// A tile's name has a slash.
template <class Kernel>
std::string kernel_name(const testing::TestParamInfo<const Kernel*>& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

// The binary kernels that this CPU has, and their tiles.
inline std::vector<const BinaryKernel*> kernels_and_tiles() {
  std::vector<const BinaryKernel*> all = supported(binary_kernels()), tiles = supported(binary_tiles());
  all.insert(all.end(), tiles.begin(), tiles.end());
  return all;
}

// 64-byte aligned and exactly as long as asked for, so that the address sanitizer sees a read past the end.
template <class T>
class Aligned {
 public:
  explicit Aligned(size_t n) : storage_(n * sizeof(T) + 64) {
    void* p = storage_.data();
    size_t space = storage_.size();
    data_ = static_cast<T*>(std::align(64, n * sizeof(T), p, space));
    storage_.resize(static_cast<size_t>(reinterpret_cast<unsigned char*>(data_ + n) - storage_.data()));
  }
  T* data() { return data_; }

 private:
  std::vector<unsigned char> storage_;
  T* data_;
};

}  // namespace bitwright::kernels_test
