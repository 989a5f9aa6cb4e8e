// Chains of steps that epilogues run without interpreting them. Most layers of binary networks have one of few chains; where its shape is known, an
// epilogue runs it with everything in registers (epilogue_fused.h), else step by step. Both give the same bits.
//
//   float:  [AFFINE [AFFINE]] [ADD]        [PRELU | AFFINE by 1, PRELU, AFFINE by 1]  then at most one STORE and one STORE_BITS
//           or, in place of these, QUANTIZE_I16 and at most one STORE_I16 and one STORE_BITS_I16 (or one STORE_BITS before QUANTIZE_I16), or one STORE_U8
//   i16:    [FIXED] [ADD_I16] [PRELU_I16 | BIAS_I16, PRELU_I16, BIAS_I16]             then at most one STORE_I16 and one STORE_BITS_I16
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernel_steps.h"

namespace bitwright {

enum class Head : uint8_t { kNone, kAffine, kScaleAffine };
enum class Act : uint8_t { kNone, kPrelu, kShifted };  // kShifted: an offset, PRELU, an offset (RPReLU)
enum class End : uint8_t { kPlain, kShorts, kBytes };    // what a float chain stores: floats and bits, QUANTIZE_I16's numbers, or bytes

struct ChainPlan {
  static constexpr uint8_t kNoStep = 255;
  bool fixed = false;  // an i16 chain
  Head head = Head::kNone;
  Act act = Act::kNone;
  End end = End::kPlain;
  bool adds_shorts = false;  // the value that ADD reads is i16
  float quantum = 0;         // the factor of QUANTIZE_I16 or STORE_U8
  uint8_t add = kNoStep, store = kNoStep, bits = kNoStep;  // which steps
  // Operands of a float chain, one a channel (numbers spread out), readable for 32 elements past the last.
  const float *scale = nullptr, *a = nullptr, *b = nullptr, *before = nullptr, *slope = nullptr, *after = nullptr;
  const float* threshold = nullptr;  // of STORE_BITS, wherever it stands
  // Operands of an i16 chain.
  const int16_t *factor = nullptr, *offset = nullptr, *before16 = nullptr, *slope16 = nullptr, *after16 = nullptr;
  const int16_t* threshold16 = nullptr;
  uint32_t shift = 0, doublings = 0;  // FIXED
  std::vector<float> operands;

  // Of a float chain: one of the few shapes that most layers have.
  bool usual() const { return end == End::kPlain && !adds_shorts; }
};

// Null where the chain has another shape.
std::unique_ptr<const ChainPlan> plan_chain(const Step* steps, size_t n, uint32_t channels);

}  // namespace bitwright
