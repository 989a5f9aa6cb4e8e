// Facts about a model's ops, for people and tools.
#pragma once

#include <cstdint>

#include "choice.h"
#include "prepare.h"

namespace bitwright {

struct OpFacts {
  uint64_t binary_macs = 0;     // of one sample, taps in the padding counted
  uint64_t float_macs = 0;
  uint64_t int8_macs = 0;
  uint64_t weight_bytes = 0;    // in the file
  uint64_t constant_bytes = 0;  // of all its constants in the file, weights included
  uint64_t packed_bytes = 0;    // weights, thresholds and origins as the kernels read them
  uint32_t planes = 1;          // of a binary op's input: each is counted
  const char* kernel = "";
  const char* epilogue = "";
};

// How an op runs; pixels and threads only where they are not as the rules have them.
Choice choice_of(const PreparedModel& prepared, size_t op);

OpFacts facts_of(const PreparedModel& prepared, size_t op);

}  // namespace bitwright
