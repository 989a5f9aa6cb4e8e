#include "unary.h"

#include <cmath>

namespace bitwright {
namespace {

template <class F>
void each(float* x, size_t count, F f) {
  for (size_t i = 0; i < count; ++i) x[i] = f(x[i]);
}

float hard_sigmoid(float x) {
  float y = x + 3.0f;
  y = y < 0.0f ? 0.0f : y;  // NaN stays NaN
  y = y > 6.0f ? 6.0f : y;
  return y / 6.0f;
}

}  // namespace

void apply_unary(float* x, size_t count, uint32_t function) {
  switch (static_cast<Unary>(function)) {
    case Unary::kAbs: return each(x, count, [](float v) { return std::fabs(v); });
    case Unary::kSigmoid: return each(x, count, [](float v) { return 1.0f / (1.0f + std::exp(-v)); });
    case Unary::kTanh: return each(x, count, [](float v) { return std::tanh(v); });
    case Unary::kExp: return each(x, count, [](float v) { return std::exp(v); });
    case Unary::kSqrt: return each(x, count, [](float v) { return std::sqrt(v); });
    case Unary::kNegate: return each(x, count, [](float v) { return -v; });
    case Unary::kHardSigmoid: return each(x, count, hard_sigmoid);
    case Unary::kErf: return each(x, count, [](float v) { return std::erf(v); });
    case Unary::kGelu: return each(x, count, [](float v) { return 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f)); });
  }
}

}  // namespace bitwright
