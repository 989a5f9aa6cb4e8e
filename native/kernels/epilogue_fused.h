// Chains of a known shape (chain.h): 32 channels at a time, their operands stay in registers while the tile's pixels pass. Included behind
// epilogue_simd.h by one translation unit per instruction set; of `struct Simd` it needs besides
//
//   minus(count, slope, origin)   origin - slope*count in floats; exact, as all of them are integers below 2^24
//   prelu(x, slope)               x >= 0 ? x : slope*x
//   prefetch(p), prefetch_write(p)
//

// W words of 32 channels of one pixel.
template <int W>
struct Lanes {
  static constexpr int kVectors = W * Simd::kVectors;
  Simd::F f[kVectors];
};

template <int W, bool kFull>
BITWRIGHT_INLINE Lanes<W> lanes_at(const float* p, const Simd::Tail& tail) {
  Lanes<W> x;
  BITWRIGHT_UNROLL for (int v = 0; v < Lanes<W>::kVectors; ++v) x.f[v] = Simd::load<kFull>(p, tail, v);
  return x;
}

// How far ahead, in pixels, a value's lines are asked for.
constexpr size_t kAhead = 8;

// Where the channels of a run of pixels lie. The loops below have a register for each of these and none to spare: a pointer that the compiler keeps in
// memory costs a store and a load in every round, eight cycles. So values that are read and written share one offset (their pixels are as large), and
// a second STORE_BITS is left to the interpreter.
template <class Element, class Count>
struct Lane {
  const Element* add = nullptr;
  Element* store = nullptr;
  uint32_t* bits = nullptr;
  size_t value_stride = 0, bits_stride = 0;
  const Count* row;
  size_t row_stride;
  BITWRIGHT_INLINE Lane(const Source& source, const EpilogueTile& t, const Step* steps, uint32_t i, uint32_t j) {
    const ChainPlan& plan = *steps[0].plan;
    const uint32_t c = t.channel0 + j;
    if (plan.add != ChainPlan::kNoStep) {
      add = value_pixel<const Element>(steps[plan.add].value, t.where, i) + c;
      value_stride = steps[plan.add].value.pixel_stride;
    }
    if (plan.store != ChainPlan::kNoStep) {
      store = value_pixel<Element>(steps[plan.store].value, t.where, i) + c;
      value_stride = steps[plan.store].value.pixel_stride;
    }
    if (plan.bits != ChainPlan::kNoStep) {
      bits = value_pixel<uint32_t>(steps[plan.bits].value, t.where, i) + c / 32;
      bits_stride = steps[plan.bits].value.pixel_stride;
    }
    row = static_cast<const Count*>(source.data) + static_cast<size_t>(i) * t.stride + j;
    row_stride = t.stride;
  }
};

template <int W, bool kFull>
BITWRIGHT_INLINE void flips_of(const Step* steps, uint32_t c, uint32_t (&flips)[W]) {
  const uint8_t bits = steps[0].plan->bits;
  const uint32_t* flip = bits != ChainPlan::kNoStep ? steps[bits].flip : nullptr;
  BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) flips[w] = flip != nullptr ? flip[c / 32 + static_cast<uint32_t>(w)] : 0;
}

template <class Count, int W, Head kHead, bool kAdd, Act kAct, bool kFull>
void fused_column(const Source& source, const EpilogueTile& t, const Step* steps, uint32_t i, uint32_t end, uint32_t j) {
  constexpr int V = Lanes<W>::kVectors;
  const ChainPlan& plan = *steps[0].plan;
  const uint32_t valid = kFull ? 32 : t.channels - j, c = t.channel0 + j;
  const Simd::Tail tail(valid), all(32);
  const uint32_t real = kFull ? 0xffffffffu : (1u << valid) - 1u;
  const auto operand = [&](const float* p) { return p != nullptr ? lanes_at<W, true>(p + c, all) : Lanes<W>{}; };
  const Lanes<W> scale = operand(kHead == Head::kScaleAffine ? plan.scale : nullptr), a = operand(kHead != Head::kNone ? plan.a : nullptr),
                 b = operand(kHead != Head::kNone ? plan.b : nullptr), before = operand(kAct == Act::kShifted ? plan.before : nullptr),
                 slope = operand(kAct != Act::kNone ? plan.slope : nullptr), after = operand(kAct == Act::kShifted ? plan.after : nullptr),
                 threshold = operand(plan.threshold);
  uint32_t flips[W];
  flips_of<W, kFull>(steps, c, flips);
  Lane<float, Count> lane(source, t, steps, i, j);
  const int32_t* origin_row = nullptr;
  Lanes<W> origin{};
  const Simd::F by = Simd::set(static_cast<float>(source.slope));
  size_t at = 0;
  for (; i < end; ++i, lane.row += lane.row_stride) {
    Lanes<W> x;
    if constexpr (std::is_same_v<Count, float>) {
      x = lanes_at<W, kFull>(lane.row, tail);
    } else {
      if (source.origin[i] != origin_row) {  // another class of padding
        origin_row = source.origin[i];
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) origin.f[v] = Simd::to_float(Simd::load_i32<kFull>(origin_row + c, tail, v));
      }
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v)
        x.f[v] = Simd::minus(Simd::to_float(Simd::load_count<kFull>(lane.row, tail, v)), by, origin.f[v]);
    }
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
      if constexpr (kHead == Head::kScaleAffine) x.f[v] = Simd::mul(x.f[v], scale.f[v]);
      if constexpr (kHead != Head::kNone) x.f[v] = Simd::add(Simd::mul(x.f[v], a.f[v]), b.f[v]);
      if constexpr (kAdd) x.f[v] = Simd::add(x.f[v], Simd::load<kFull>(lane.add + at, tail, v));
      if constexpr (kAct == Act::kShifted) x.f[v] = Simd::add(x.f[v], before.f[v]);
      if constexpr (kAct != Act::kNone) x.f[v] = Simd::prelu(x.f[v], slope.f[v]);
      if constexpr (kAct == Act::kShifted) x.f[v] = Simd::add(x.f[v], after.f[v]);
    }
    if constexpr (kAdd) BITWRIGHT_UNROLL for (int k = 0; k < 2 * W; ++k) Simd::prefetch(lane.add + at + kAhead * lane.value_stride + 16 * k);
    if (lane.store != nullptr) {
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<kFull>(lane.store + at, tail, v, x.f[v]);
      BITWRIGHT_UNROLL for (int k = 0; k < 2 * W; ++k) Simd::prefetch_write(lane.store + at + kAhead * lane.value_stride + 16 * k);
    }
    at += lane.value_stride;
    if (lane.bits != nullptr) {
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w)
        lane.bits[w] = (Simd::ge32(&x.f[w * Simd::kVectors], &threshold.f[w * Simd::kVectors]) ^ flips[w]) & real;
      lane.bits += lane.bits_stride;
    }
  }
}

// All channels of a tile, by runs of pixels that lie one after the other. wide: 32 * kWords channels, full: 32, part: fewer.
using ColumnFn = void (*)(const Source&, const EpilogueTile&, const Step*, uint32_t, uint32_t, uint32_t);
struct Columns {
  ColumnFn wide, full, part;
};

BITWRIGHT_INLINE void for_columns(const EpilogueTile& t, const Columns& run, const Source& source, const Step* steps) {
  constexpr uint32_t kWide = 32 * Simd::kWords;
  uint32_t pixels = 0;
  for (uint32_t i = 0; i < t.where.pixels; i += pixels) {
    pixels = run_of_pixels(t.where, i, t.where.pixels);
    uint32_t j = 0;
    for (; j + kWide <= t.channels; j += kWide) run.wide(source, t, steps, i, i + pixels, j);
    if (Simd::kWords > 1 && j + 32 <= t.channels) {
      run.full(source, t, steps, i, i + pixels, j);
      j += 32;
    }
    if (j < t.channels) run.part(source, t, steps, i, i + pixels, j);
  }
}

template <class Count, Head kHead, bool kAdd, Act kAct>
constexpr Columns fused_columns = {fused_column<Count, Simd::kWords, kHead, kAdd, kAct, true>, fused_column<Count, 1, kHead, kAdd, kAct, true>,
                                   fused_column<Count, 1, kHead, kAdd, kAct, false>};

template <class Count, Head kHead, bool kAdd>
BITWRIGHT_INLINE const Columns& fused_of(Act act) {
  switch (act) {
    case Act::kPrelu: return fused_columns<Count, kHead, kAdd, Act::kPrelu>;
    case Act::kShifted: return fused_columns<Count, kHead, kAdd, Act::kShifted>;
    default: return fused_columns<Count, kHead, kAdd, Act::kNone>;
  }
}

template <class Count>
BITWRIGHT_INLINE const Columns& fused_of(const ChainPlan& plan) {
  const bool add = plan.add != ChainPlan::kNoStep;
  switch (plan.head) {
    case Head::kAffine: return add ? fused_of<Count, Head::kAffine, true>(plan.act) : fused_of<Count, Head::kAffine, false>(plan.act);
    case Head::kScaleAffine: return add ? fused_of<Count, Head::kScaleAffine, true>(plan.act) : fused_of<Count, Head::kScaleAffine, false>(plan.act);
    default: return add ? fused_of<Count, Head::kNone, true>(plan.act) : fused_of<Count, Head::kNone, false>(plan.act);
  }
}

template <class Count>
BITWRIGHT_INLINE void fused(const Source& source, const EpilogueTile& t, const Step* steps) {
  for_columns(t, fused_of<Count>(*steps[0].plan), source, steps);
}
