// The i16 steps (docs/bwm.md) on vectors of 16-bit lanes: chains of a known shape with their operands in registers, any other step by step. Included
// behind epilogue_fused.h by one translation unit per instruction set; of `struct Simd` it needs besides
//
//   S, kShortVectors             vector of int16; kShortVectors of them hold 32 channels
//   load_s<kFull>(p, tail, v), store_s<kFull>(p, tail, v, x), set_s(int16_t), load_origin<kFull>(const int32_t*, tail, v): int32 cut to 16 bits
//   adds, mulhrs, max_s, min_s; prelu_s(x, slope) = x >= 0 ? x : mulhrs(x, slope); select_ge0_s(x, y) = x >= 0 ? x : y
//   minus_s(origin, count, slope) = origin - slope*count for slope 1 or 2, modulo 2^16; shift_s(x, n) = x << n
//   ge32_s(x, t)                 the word of x >= t for 32 channels
//   quantize(const F*, F factor) 32 floats to kShortVectors vectors of sat16(rint(x * factor)), NaN to 0

template <int W = 1>
struct Shorts {
  static constexpr int kVectors = W * Simd::kShortVectors;
  Simd::S s[kVectors];
};

template <bool kFull, int W = 1>
BITWRIGHT_INLINE Shorts<W> shorts_at(const int16_t* p, const Simd::Tail& tail) {
  Shorts<W> x;
  BITWRIGHT_UNROLL for (int v = 0; v < Shorts<W>::kVectors; ++v) x.s[v] = Simd::load_s<kFull>(p, tail, v);
  return x;
}

// The accumulators of W * 32 channels, shifted left; they fit 16 bits, whatever carries away on the way.
template <int W>
struct Accumulators {
  const Source& source;
  Simd::Shift16 shift;
  const int32_t* row = nullptr;
  Shorts<W> origin{};
  BITWRIGHT_INLINE Accumulators(const Source& s, uint32_t n) : source(s), shift(Simd::set_shift16(n)) {}
  template <bool kFull>
  BITWRIGHT_INLINE Shorts<W> load(const uint16_t* counts, uint32_t i, uint32_t c, const Simd::Tail& tail) {
    if (source.origin[i] != row) {  // another class of padding
      row = source.origin[i];
      BITWRIGHT_UNROLL for (int v = 0; v < Shorts<W>::kVectors; ++v) origin.s[v] = Simd::load_origin<kFull>(row + c, tail, v);
    }
    Shorts<W> x;
    BITWRIGHT_UNROLL for (int v = 0; v < Shorts<W>::kVectors; ++v) {
      const Simd::S count = Simd::load_s<kFull>(reinterpret_cast<const int16_t*>(counts), tail, v);
      x.s[v] = Simd::shift_s(Simd::minus_s(origin.s[v], count, source.slope), shift);
    }
    return x;
  }
};

#define BITWRIGHT_EACH_SHORT BITWRIGHT_UNROLL for (int v = 0; v < Simd::kShortVectors; ++v)

// x * 2^n, saturated.
template <int W>
BITWRIGHT_INLINE Shorts<W> doubled(Shorts<W> x, uint32_t n) {
  for (; n > 0; --n) BITWRIGHT_UNROLL for (int v = 0; v < Shorts<W>::kVectors; ++v) x.s[v] = Simd::adds(x.s[v], x.s[v]);
  return x;
}

// Count: uint16_t (FIXED) or int16_t.
template <class Count, int W, bool kAdd, Act kAct, bool kFull>
void fixed_column(const Source& source, const EpilogueTile& t, const Step* steps, uint32_t i, uint32_t end, uint32_t j) {
  constexpr bool kCounts = std::is_same_v<Count, uint16_t>;
  constexpr int V = Shorts<W>::kVectors;
  const ChainPlan& plan = *steps[0].plan;
  const uint32_t valid = kFull ? 32 : t.channels - j, c = t.channel0 + j;
  const Simd::Tail tail(valid), all(32);
  const uint32_t real = kFull ? 0xffffffffu : (1u << valid) - 1u;
  const auto operand = [&](const int16_t* p) { return p != nullptr ? shorts_at<true, W>(p + c, all) : Shorts<W>{}; };
  const Shorts<W> factor = operand(kCounts ? plan.factor : nullptr), offset = operand(kCounts ? plan.offset : nullptr),
                  before = operand(kAct == Act::kShifted ? plan.before16 : nullptr), slope = operand(kAct != Act::kNone ? plan.slope16 : nullptr),
                  after = operand(kAct == Act::kShifted ? plan.after16 : nullptr), threshold = operand(plan.threshold16);
  uint32_t flips[W];
  flips_of<W, kFull>(steps, c, flips);
  Lane<int16_t, Count> lane(source, t, steps, i, j);
  const uint32_t doublings = plan.doublings;
  Accumulators<W> accumulators(source, plan.shift);
  size_t at = 0;
  for (; i < end; ++i, lane.row += lane.row_stride) {
    Shorts<W> x;
    if constexpr (kCounts)
      x = accumulators.template load<kFull>(lane.row, i, c, tail);
    else
      x = shorts_at<kFull, W>(lane.row, tail);
    if constexpr (kCounts) {
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.s[v] = Simd::mulhrs(x.s[v], factor.s[v]);
      x = doubled(x, doublings);
    }
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
      if constexpr (kCounts) x.s[v] = Simd::adds(x.s[v], offset.s[v]);
      if constexpr (kAdd) x.s[v] = Simd::adds(x.s[v], Simd::load_s<kFull>(lane.add + at, tail, v));
      if constexpr (kAct == Act::kShifted) x.s[v] = Simd::adds(x.s[v], before.s[v]);
      if constexpr (kAct != Act::kNone) x.s[v] = Simd::prelu_s(x.s[v], slope.s[v]);
      if constexpr (kAct == Act::kShifted) x.s[v] = Simd::adds(x.s[v], after.s[v]);
    }
    if constexpr (kAdd) BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) Simd::prefetch(lane.add + at + kAhead * lane.value_stride + 32 * w);
    if (lane.store != nullptr) {
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store_s<kFull>(lane.store + at, tail, v, x.s[v]);
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) Simd::prefetch_write(lane.store + at + kAhead * lane.value_stride + 32 * w);
    }
    at += lane.value_stride;
    if (lane.bits != nullptr) {
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w)
        lane.bits[w] = (Simd::ge32_s(&x.s[w * Simd::kShortVectors], &threshold.s[w * Simd::kShortVectors]) ^ flips[w]) & real;
      lane.bits += lane.bits_stride;
    }
  }
}

template <class Count, bool kAdd, Act kAct>
constexpr Columns fixed_columns = {fixed_column<Count, Simd::kWords, kAdd, kAct, true>, fixed_column<Count, 1, kAdd, kAct, true>,
                                   fixed_column<Count, 1, kAdd, kAct, false>};

template <class Count, bool kAdd>
BITWRIGHT_INLINE const Columns& fixed_of(Act act) {
  switch (act) {
    case Act::kPrelu: return fixed_columns<Count, kAdd, Act::kPrelu>;
    case Act::kShifted: return fixed_columns<Count, kAdd, Act::kShifted>;
    default: return fixed_columns<Count, kAdd, Act::kNone>;
  }
}

template <class Count>
BITWRIGHT_INLINE void fixed_fused(const Source& source, const EpilogueTile& t, const Step* steps) {
  const ChainPlan& plan = *steps[0].plan;
  for_columns(t, plan.add != ChainPlan::kNoStep ? fixed_of<Count, true>(plan.act) : fixed_of<Count, false>(plan.act), source, steps);
}

// Any chain, 32 channels of one pixel at a time.
template <bool kFull>
BITWRIGHT_INLINE void fixed_steps(Shorts<> x, const Place& b, const Simd::Tail& tail, const Step* steps, size_t n_steps) {
  const Simd::Tail all(32);
  const uint32_t real = kFull ? 0xffffffffu : (1u << b.valid) - 1u;
  for (const Step *step = steps, *end = steps + n_steps; step != end; ++step) {
    const Step& s = *step;
    switch (s.kind) {
      case StepKind::kAddI16: {
        const Shorts<> other = shorts_at<kFull>(first_pixel<const int16_t>(s.value, b, b.c0), tail);
        BITWRIGHT_EACH_SHORT x.s[v] = Simd::adds(x.s[v], other.s[v]);
        break;
      }
      case StepKind::kPreluI16: {
        const Shorts<> slope = shorts_at<true>(s.a16 + b.c0, all);
        Shorts<> y;
        BITWRIGHT_EACH_SHORT y.s[v] = Simd::mulhrs(x.s[v], slope.s[v]);
        y = doubled(y, s.n);
        BITWRIGHT_EACH_SHORT x.s[v] = Simd::select_ge0_s(x.s[v], y.s[v]);
        break;
      }
      case StepKind::kBiasI16: {
        const Shorts<> offset = shorts_at<true>(s.b16 + b.c0, all);
        BITWRIGHT_EACH_SHORT x.s[v] = Simd::adds(x.s[v], offset.s[v]);
        break;
      }
      case StepKind::kClampI16:
        BITWRIGHT_EACH_SHORT x.s[v] =
            Simd::min_s(Simd::max_s(x.s[v], Simd::set_s(static_cast<int16_t>(s.p0))), Simd::set_s(static_cast<int16_t>(s.p1)));
        break;
      case StepKind::kStoreI16: {
        int16_t* to = first_pixel<int16_t>(s.value, b, b.c0);
        BITWRIGHT_EACH_SHORT Simd::store_s<kFull>(to, tail, v, x.s[v]);
        break;
      }
      case StepKind::kStoreBitsI16: {
        const Shorts<> threshold = shorts_at<true>(s.a16 + b.c0, all);
        const uint32_t bits = (Simd::ge32_s(x.s, threshold.s) ^ (s.flip != nullptr ? s.flip[b.c0 / 32] : 0)) & real;
        store_bits(first_pixel<uint32_t>(s.value, b, 0), s.value, b.c0, b.valid, bits);
        break;
      }
      default: break;
    }
  }
}

// Rows of counts (after FIXED) or of int16.
template <class Count, bool kFull>
void fixed_any(const Source& source, const EpilogueTile& t, const Step* steps, size_t n_steps, uint32_t j) {
  constexpr bool kCounts = std::is_same_v<Count, uint16_t>;
  const uint32_t valid = kFull ? 32 : t.channels - j, c = t.channel0 + j;
  const Simd::Tail tail(valid), all(32);
  Accumulators<1> accumulators(source, kCounts ? steps[0].n & 0xFF : 0);
  for (uint32_t i = 0; i < t.where.pixels; ++i) {
    const auto* row = static_cast<const Count*>(source.data) + static_cast<size_t>(i) * t.stride + j;
    const Place place{&t, i, j, c, valid};
    if constexpr (kCounts) {
      const Shorts<> factor = shorts_at<true>(steps[0].a16 + c, all), offset = shorts_at<true>(steps[0].b16 + c, all);
      Shorts<> x = accumulators.template load<kFull>(row, i, c, tail);
      BITWRIGHT_EACH_SHORT x.s[v] = Simd::mulhrs(x.s[v], factor.s[v]);
      x = doubled(x, steps[0].n >> 8);
      BITWRIGHT_EACH_SHORT x.s[v] = Simd::adds(x.s[v], offset.s[v]);
      fixed_steps<kFull>(x, place, tail, steps + 1, n_steps - 1);
    } else {
      fixed_steps<kFull>(shorts_at<kFull>(row, tail), place, tail, steps, n_steps);
    }
  }
}

template <class Count>
void fixed_run(const Source& source, const EpilogueTile& t, const Step* steps, size_t n_steps) {
  if (steps[0].plan != nullptr) return fixed_fused<Count>(source, t, steps);
  uint32_t j = 0;
  for (; j + 32 <= t.channels; j += 32) fixed_any<Count, true>(source, t, steps, n_steps, j);
  if (j < t.channels) fixed_any<Count, false>(source, t, steps, n_steps, j);
}

// QUANTIZE_I16 and the steps behind it, for a block of the float interpreter.
template <int P, int W, bool kFull>
void quantized_steps(const Simd::F (&x)[P][W * Simd::kVectors], const Place& b, const Step* steps, size_t n_steps) {
  const Simd::F factor = Simd::set(steps[0].p0);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) {
      Shorts<> q;
      Simd::quantize(&x[i][w * Simd::kVectors], factor, q.s);
      const uint32_t column = static_cast<uint32_t>(32 * w);
      const Place place{b.tile, b.i0 + static_cast<uint32_t>(i), b.j0 + column, b.c0 + column, W == 1 ? b.valid : 32};
      fixed_steps<kFull>(q, place, Simd::Tail(place.valid), steps + 1, n_steps - 1);
    }
}
