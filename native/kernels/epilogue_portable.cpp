// Epilogue in portable C++17: 32 channels of one pixel in a small array, all steps over it. The other epilogues must equal it bit for bit, so
// it rounds after every operation (built with -ffp-contract=off: no fused multiply-add).
#include <cmath>

#include "entries.h"
#include "fixed.h"
#include "kernel_epilogue.h"
#include "unary.h"
#include "values.h"

namespace bitwright {
namespace {

constexpr uint32_t kBlock = 32;

// Channels [c, c + count) of pixel i, c absolute.
struct Block {
  uint32_t i, c, count;
};

inline float at(const float* a, float otherwise, uint32_t c) { return a != nullptr ? a[c] : otherwise; }

inline uint32_t flip_word(const uint32_t* flip, const Block& b) {
  const uint32_t word = flip != nullptr ? flip[b.c / 32] : 0;
  return b.count == 32 ? word : word & ((1u << b.count) - 1u);
}

void store_threshold_bits(const float* x, const Step& s, const EpilogueTile& t, const Block& b) {
  uint32_t bits = 0;
  for (uint32_t j = 0; j < b.count; ++j) bits |= static_cast<uint32_t>(x[j] >= at(s.a, s.p0, b.c + j)) << j;
  store_bits(value_pixel<uint32_t>(s.value, t.where, b.i), s.value, b.c, b.count, bits ^ flip_word(s.flip, b));
}

// The bits of every level, plane after plane.
void store_levels(const float* x, const Step& s, const EpilogueTile& t, const Block& b) {
  const auto top = static_cast<float>((1u << s.n) - 1u);
  uint32_t level[kBlock];
  for (uint32_t j = 0; j < b.count; ++j) {
    const float product = x[j] * at(s.a, s.p0, b.c + j);
    const float scaled = product + at(s.b, s.p1, b.c + j);
    const float positive = scaled >= 0.0f ? scaled : 0.0f;  // NaN is level 0
    level[j] = static_cast<uint32_t>(std::nearbyint(positive > top ? top : positive));
  }
  uint32_t* pixel = value_pixel<uint32_t>(s.value, t.where, b.i);
  for (uint32_t plane = 0; plane < s.n; ++plane, pixel += s.value.pixel_stride / s.n) {
    uint32_t bits = 0;
    for (uint32_t j = 0; j < b.count; ++j) bits |= (level[j] >> plane & 1u) << j;
    store_bits(pixel, s.value, b.c, b.count, bits);
  }
}

// Adding and subtracting 1.5 * 2^23 rounds to an integer, half to even.
inline float round_half_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

void store_u8(const float* x, const Step& s, const EpilogueTile& t, const Block& b) {
  uint8_t* to = value_pixel<uint8_t>(s.value, t.where, b.i) + b.c;
  const float low = static_cast<float>(-s.value.zero), high = static_cast<float>(255 - s.value.zero);
  for (uint32_t j = 0; j < b.count; ++j) {
    float y = x[j] * s.p0;
    y = y != y ? 0.0f : y < low ? low : y > high ? high : y;  // the bounds are integers: it does not matter which comes first
    to[j] = static_cast<uint8_t>(static_cast<int32_t>(round_half_even(y)) + s.value.zero);
  }
}

void apply(float* x, const Step& s, const EpilogueTile& t, const Block& b) {
  switch (s.kind) {
    case StepKind::kThreshold: break;  // the threshold functions do it: it is never a step of a chain
    case StepKind::kAffine:
      for (uint32_t j = 0; j < b.count; ++j) {
        const float product = x[j] * at(s.a, s.p0, b.c + j);
        x[j] = product + at(s.b, s.p1, b.c + j);
      }
      break;
    case StepKind::kAdd: {
      if (s.value_scale != 0) {
        const int16_t* q = value_pixel<const int16_t>(s.value, t.where, b.i) + b.c;
        for (uint32_t j = 0; j < b.count; ++j) {
          const float real = static_cast<float>(q[j]) * s.value_scale;
          x[j] += real;
        }
        break;
      }
      const float* v = value_pixel<const float>(s.value, t.where, b.i) + b.c;
      for (uint32_t j = 0; j < b.count; ++j) x[j] += v[j];
      break;
    }
    case StepKind::kMul: {
      const float* v = (s.n == 1 ? value_gate(s.value, t.where, b.i) : value_pixel<const float>(s.value, t.where, b.i)) + b.c;
      for (uint32_t j = 0; j < b.count; ++j) x[j] *= v[j];
      break;
    }
    case StepKind::kPrelu:
      for (uint32_t j = 0; j < b.count; ++j) x[j] = x[j] >= 0.0f ? x[j] : at(s.a, s.p0, b.c + j) * x[j];
      break;
    case StepKind::kClamp:
      for (uint32_t j = 0; j < b.count; ++j) {
        const float low = x[j] < s.p0 ? s.p0 : x[j];  // NaN stays NaN
        x[j] = low > s.p1 ? s.p1 : low;
      }
      break;
    case StepKind::kStore: {
      float* v = value_pixel<float>(s.value, t.where, b.i) + b.c;
      for (uint32_t j = 0; j < b.count; ++j) v[j] = x[j];
      break;
    }
    case StepKind::kStoreBits: store_threshold_bits(x, s, t, b); break;
    case StepKind::kStoreLevels: store_levels(x, s, t, b); break;
    case StepKind::kUnary: apply_unary(x, b.count, s.n); break;
    case StepKind::kStoreU8: store_u8(x, s, t, b); break;
    default: break;  // i16 steps: below
  }
}

void apply_fixed(int16_t* x, const Step& s, const EpilogueTile& t, const Block& b) {
  switch (s.kind) {
    case StepKind::kAddI16: {
      const int16_t* v = value_pixel<const int16_t>(s.value, t.where, b.i) + b.c;
      for (uint32_t j = 0; j < b.count; ++j) x[j] = sat16(x[j] + v[j]);
      break;
    }
    case StepKind::kPreluI16:
      for (uint32_t j = 0; j < b.count; ++j) x[j] = x[j] >= 0 ? x[j] : shl16(mulhrs(x[j], s.a16[b.c + j]), s.n);
      break;
    case StepKind::kBiasI16:
      for (uint32_t j = 0; j < b.count; ++j) x[j] = sat16(x[j] + s.b16[b.c + j]);
      break;
    case StepKind::kClampI16: {
      const auto low = static_cast<int16_t>(s.p0), high = static_cast<int16_t>(s.p1);
      for (uint32_t j = 0; j < b.count; ++j) x[j] = x[j] < low ? low : x[j] > high ? high : x[j];
      break;
    }
    case StepKind::kStoreI16: {
      int16_t* v = value_pixel<int16_t>(s.value, t.where, b.i) + b.c;
      for (uint32_t j = 0; j < b.count; ++j) v[j] = x[j];
      break;
    }
    case StepKind::kStoreBitsI16: {
      uint32_t bits = 0;
      for (uint32_t j = 0; j < b.count; ++j) bits |= static_cast<uint32_t>(x[j] >= s.a16[b.c + j]) << j;
      store_bits(value_pixel<uint32_t>(s.value, t.where, b.i), s.value, b.c, b.count, bits ^ flip_word(s.flip, b));
      break;
    }
    default: break;
  }
}

// The first step of a chain of a binary convolution: acc << (n & 255) fits 16 bits.
int16_t fixed_of(int32_t acc, const Step& s, uint32_t c) {
  const auto shifted = static_cast<int16_t>(acc * (1 << (s.n & 0xFF)));
  return sat16(shl16(mulhrs(shifted, s.a16[c]), s.n >> 8) + s.b16[c]);
}

// `load(i, j, c)`: the value of pixel i, tile column j, absolute channel c.
template <class Load>
void run_fixed(const EpilogueTile& t, const Step* steps, size_t n_steps, Load load) {
  for (uint32_t i = 0; i < t.where.pixels; ++i)
    for (uint32_t j0 = 0; j0 < t.channels; j0 += kBlock) {
      const Block b{i, t.channel0 + j0, t.channels - j0 < kBlock ? t.channels - j0 : kBlock};
      int16_t x[kBlock];
      for (uint32_t j = 0; j < b.count; ++j) x[j] = load(i, j0 + j, b.c + j);
      for (size_t s = 0; s < n_steps; ++s) apply_fixed(x, steps[s], t, b);
    }
}

template <class Load>
void run(const EpilogueTile& t, const Step* steps, size_t n_steps, Load load) {
  for (uint32_t i = 0; i < t.where.pixels; ++i)
    for (uint32_t j0 = 0; j0 < t.channels; j0 += kBlock) {
      const Block b{i, t.channel0 + j0, t.channels - j0 < kBlock ? t.channels - j0 : kBlock};
      float x[kBlock];
      for (uint32_t j = 0; j < b.count; ++j) x[j] = load(i, j0 + j, b.c + j);
      size_t s = 0;
      for (; s < n_steps && !is_fixed(steps[s].kind); ++s) apply(x, steps[s], t, b);
      if (s == n_steps) continue;
      int16_t q[kBlock];  // the step is QUANTIZE_I16
      for (uint32_t j = 0; j < b.count; ++j) q[j] = quantize16(x[j], steps[s].p0);
      while (++s < n_steps) apply_fixed(q, steps[s], t, b);
    }
}

template <class Count>
void from_counts(const Count* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n_steps) {
  if (steps[0].kind == StepKind::kFixed) {
    run_fixed(t, steps + 1, n_steps - 1, [&](uint32_t i, uint32_t j, uint32_t c) {
      return fixed_of(origin[i][c] - slope * static_cast<int32_t>(counts[static_cast<size_t>(i) * t.stride + j]), steps[0], c);
    });
    return;
  }
  run(t, steps, n_steps, [&](uint32_t i, uint32_t j, uint32_t c) {
    return static_cast<float>(origin[i][c] - slope * static_cast<int32_t>(counts[static_cast<size_t>(i) * t.stride + j]));
  });
}

void from_float(const float* x, const EpilogueTile& t, const Step* steps, size_t n_steps) {
  run(t, steps, n_steps, [&](uint32_t i, uint32_t j, uint32_t) { return x[static_cast<size_t>(i) * t.stride + j]; });
}

void from_i16(const int16_t* x, const EpilogueTile& t, const Step* steps, size_t n_steps) {
  run_fixed(t, steps, n_steps, [&](uint32_t i, uint32_t j, uint32_t) { return x[static_cast<size_t>(i) * t.stride + j]; });
}

void from_int32(const int32_t* sums, const EpilogueTile& t, const int32_t* const* origin, const Step* steps, size_t n_steps) {
  run(t, steps, n_steps, [&](uint32_t i, uint32_t j, uint32_t c) {
    return static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(sums[static_cast<size_t>(i) * t.stride + j]) + static_cast<uint32_t>(origin[i][c])));
  });
}

template <class Count>
void threshold(const Count* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip, const ValueRef& out) {
  for (uint32_t i = 0; i < t.where.pixels; ++i)
    for (uint32_t j0 = 0; j0 < t.channels; j0 += kBlock) {
      const Block b{i, t.channel0 + j0, t.channels - j0 < kBlock ? t.channels - j0 : kBlock};
      const Count* row = counts + static_cast<size_t>(i) * t.stride + j0;
      uint32_t bits = 0;
      for (uint32_t j = 0; j < b.count; ++j) bits |= static_cast<uint32_t>(static_cast<int32_t>(row[j]) <= limit[i][b.c + j]) << j;
      store_bits(value_pixel<uint32_t>(out, t.where, i), out, b.c, b.count, bits ^ flip_word(flip, b));
    }
}

const EpilogueKernel kernel = {
    "epilogue_portable", "portable", "C++17, 32 channels of a pixel at a time", kRankPortable, supports_portable,
    threshold<uint16_t>, threshold<uint32_t>, from_counts<uint16_t>, from_counts<uint32_t>, from_float, from_int32, from_i16,
};

}  // namespace

const EpilogueKernel* const epilogue_portable = &kernel;

}  // namespace bitwright
