// Arrays of any strides to bits: the work of bitwright.runtime.pack_bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel_pack.h"
#include "pool.h"

namespace bitwright {

enum class PackType { kF32, kI16, kI8, kU8 };

struct PackArray {
  PackType type = PackType::kF32;
  const void* x = nullptr;
  std::vector<size_t> shape;       // the last axis holds the channels that are packed
  std::vector<ptrdiff_t> strides;  // in bytes, any sign
  const void* threshold = nullptr;
  bool per_channel = false;
  uint32_t* words = nullptr;       // row-major [..., ceil(channels/32)]
};

// Everything has been checked by the caller; the array may be empty.
void pack_array(const PackArray& array, const PackKernel& kernel, Pool& pool);

}  // namespace bitwright
