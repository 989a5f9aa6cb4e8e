// The UNARY step's functions. One compiled copy serves every instruction set, so that all epilogues agree bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// Step::n of a UNARY step (docs/bwm.md).
enum class Unary : uint32_t {
  kAbs = 1, kSigmoid = 2, kTanh = 3, kExp = 4, kSqrt = 5, kNegate = 6, kHardSigmoid = 7, kErf = 8, kGelu = 9,
};

// x[i] = f(x[i]), i < count. An unknown f leaves x as it is; the reader refuses such files.
void apply_unary(float* x, size_t count, uint32_t function);

}  // namespace bitwright
