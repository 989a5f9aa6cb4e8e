// What is done with a layer's sums: steps, and where they read and write values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

// Where a step reads or writes a value: element (n, p, c) lies at data + n*sample_stride + p*pixel_stride + c (in elements: floats for
// f32, bytes for u8, int16 for i16, 32-bit words for bits, where c counts bits and group layout is handled by the epilogue).
struct ValueRef {
  void* data = nullptr;
  size_t sample_stride = 0;
  size_t pixel_stride = 0;
  uint32_t groups = 1;          // bits only
  uint32_t group_channels = 0;  // bits only: channels per group
  int32_t zero = 0;             // u8 only: the zero point
};

enum class StepKind : uint32_t {
  kThreshold = 1, kAffine = 2, kAdd = 3, kPrelu = 4, kClamp = 5, kStore = 6, kStoreBits = 7, kUnary = 8, kMul = 9, kStoreU8 = 10, kStoreLevels = 11,
  kFixed = 12, kAddI16 = 13, kPreluI16 = 14, kBiasI16 = 15, kClampI16 = 16, kStoreI16 = 17, kStoreBitsI16 = 18, kQuantizeI16 = 19,
};

// Whether a step computes on 16-bit fixed-point numbers: true from FIXED or QUANTIZE_I16 to the end of a chain.
constexpr bool is_fixed(StepKind kind) { return kind >= StepKind::kFixed && kind <= StepKind::kQuantizeI16; }

struct ChainPlan;

// One epilogue step with everything resolved; docs/bwm.md gives the meaning of each kind.
struct Step {
  StepKind kind;
  uint32_t n = 0;
  const float* a = nullptr;        // per channel, or null: p0
  const float* b = nullptr;        // per channel (AFFINE), or null: p1
  const uint32_t* flip = nullptr;  // bit per channel, or null
  float p0 = 0, p1 = 0;
  const int16_t* a16 = nullptr;    // the constants of an i16 step, per channel; readable for 32 elements past the last
  const int16_t* b16 = nullptr;
  float value_scale = 0;           // ADD: if not 0, the value is i16 and stands for q * value_scale
  ValueRef value;
  const ChainPlan* plan = nullptr;  // of a chain's first step: its shape, if it has one that needs no interpreter (chain.h); else null
};

}  // namespace bitwright
