// The epilogue of the SIMD instruction sets: one pass, x stays in registers over all steps. Included by one translation unit per instruction set,
// inside namespace bitwright and an unnamed namespace, after it has defined `struct Simd`:
//
//   F                    float vector of kLanes; kVectors = 32 / kLanes of them hold 32 channels of one pixel
//   kPixels              pixels of a block: kPixels * kVectors vectors of x, the rest of the registers for operands
//   Tail(valid)          which of the 32 channels of a block are real; used only where kFull is false
//   load<kFull>(p, tail, v), store<kFull>(p, tail, v, x), load_i32<kFull>(...), load_count<kFull>(const uint16_t* or const uint32_t*, ...)
//   set, add, mul, select_ge0(x, y) = x >= 0 ? x : y, below(x, p) = x < p ? p : x, above(x, p) = x > p ? p : x, to_float, sub_scaled
//   ge(x, t), le(count, limit): bit mask of a vector; NaN is not >=
//   Limits16             like Limits32 below, for counts of 16 bits
//
// Cost: a step is one switch for kPixels * kVectors vectors, so that its dispatch is paid once for up to 8 pixels x 32 channels.

enum class From { kCounts16, kCounts32, kFloat };

struct Source {
  From from;
  const void* data;
  const int32_t* const* origin;
  int32_t slope;
};

// One block: pixels [i0, i0 + P) and channels [j0, j0 + valid) of the tile, j0 a multiple of 32.
struct Place {
  const EpilogueTile* tile;
  uint32_t i0, j0, c0, valid;
  bool run;  // pixels of one sample, one after the other: one address serves all
};

// Addresses of the block's pixels in a value.
template <int P, class T>
struct Rows {
  T* row[P];
  BITWRIGHT_INLINE Rows(const ValueRef& v, const Place& b, size_t channel) {
    T* first = value_pixel<T>(v, b.tile->where, b.i0) + channel;
    if (b.run) {
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) row[i] = first + static_cast<size_t>(i) * v.pixel_stride;
    } else {
      row[0] = first;
      BITWRIGHT_UNROLL for (int i = 1; i < P; ++i) row[i] = value_pixel<T>(v, b.tile->where, b.i0 + i) + channel;
    }
  }
};

template <int P, bool kFull, class Count>
BITWRIGHT_INLINE void load_counts(Simd::F (&x)[P][Simd::kVectors], const Source& s, const Place& b, const Simd::Tail& tail) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
    const Count* row = static_cast<const Count*>(s.data) + static_cast<size_t>(b.i0 + i) * b.tile->stride + b.j0;
    const int32_t* origin = s.origin[b.i0 + i] + b.c0;
    BITWRIGHT_UNROLL for (int v = 0; v < Simd::kVectors; ++v)
      x[i][v] = Simd::to_float(
          Simd::sub_scaled(Simd::load_i32<kFull>(origin, tail, v), s.slope, Simd::load_count<kFull>(row, tail, v)));
  }
}

template <int P, bool kFull>
BITWRIGHT_INLINE void store_bits_step(const Simd::F (&x)[P][Simd::kVectors], const Step& s, const Place& b, const Simd::Tail& tail) {
  uint32_t bits[P];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) bits[i] = 0;
  BITWRIGHT_UNROLL for (int v = 0; v < Simd::kVectors; ++v) {
    const Simd::F t = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, v) : Simd::set(s.p0);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) bits[i] |= Simd::ge(x[i][v], t) << (v * Simd::kLanes);
  }
  const uint32_t flip = s.flip != nullptr ? s.flip[b.c0 / 32] : 0;
  const uint32_t real = kFull ? 0xffffffffu : (1u << b.valid) - 1u;
  if (bits_are_plain(s.value)) {
    const Rows<P, uint32_t> to(s.value, b, b.c0 / 32);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) *to.row[i] = (bits[i] ^ flip) & real;
  } else {
    for (int i = 0; i < P; ++i)
      store_grouped_bits(value_pixel<uint32_t>(s.value, b.tile->where, b.i0 + i), s.value, b.c0, b.valid, (bits[i] ^ flip) & real);
  }
}

template <int P, bool kFull>
void block(const Source& source, const Place& b, const Step* steps, size_t n_steps) {
  using F = Simd::F;
  constexpr int V = Simd::kVectors;
  const Simd::Tail tail(b.valid);
  F x[P][V];
  switch (source.from) {
    case From::kCounts16: load_counts<P, kFull, uint16_t>(x, source, b, tail); break;
    case From::kCounts32: load_counts<P, kFull, uint32_t>(x, source, b, tail); break;
    default:
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v)
          x[i][v] = Simd::load<kFull>(static_cast<const float*>(source.data) + static_cast<size_t>(b.i0 + i) * b.tile->stride + b.j0, tail, v);
      break;
  }
  for (const Step *step = steps, *end = steps + n_steps; step != end; ++step) {
    const Step& s = *step;
    switch (s.kind) {
      case StepKind::kThreshold: break;  // the threshold functions do it: it is never a step of a chain
      case StepKind::kAffine:
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
          const F a = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, v) : Simd::set(s.p0);
          const F c = s.b != nullptr ? Simd::load<kFull>(s.b + b.c0, tail, v) : Simd::set(s.p1);
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i][v] = Simd::add(Simd::mul(x[i][v], a), c);
        }
        break;
      case StepKind::kAdd: {
        const Rows<P, const float> r(s.value, b, b.c0);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::add(x[i][v], Simd::load<kFull>(r.row[i], tail, v));
        break;
      }
      case StepKind::kMul:
        if (s.n == 1) {
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
            const float* gate = value_gate(s.value, b.tile->where, b.i0 + i) + b.c0;
            BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::mul(x[i][v], Simd::load<kFull>(gate, tail, v));
          }
        } else {
          const Rows<P, const float> r(s.value, b, b.c0);
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
            BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::mul(x[i][v], Simd::load<kFull>(r.row[i], tail, v));
        }
        break;
      case StepKind::kPrelu:
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
          const F a = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, v) : Simd::set(s.p0);
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i][v] = Simd::select_ge0(x[i][v], Simd::mul(a, x[i][v]));
        }
        break;
      case StepKind::kClamp: {
        const F low = Simd::set(s.p0), high = Simd::set(s.p1);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::above(Simd::below(x[i][v], low), high);
        break;
      }
      case StepKind::kStore: {
        const Rows<P, float> r(s.value, b, b.c0);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<kFull>(r.row[i], tail, v, x[i][v]);
        break;
      }
      case StepKind::kStoreBits: store_bits_step<P, kFull>(x, s, b, tail); break;
      case StepKind::kUnary: {  // through memory: the functions are shared scalar code
        alignas(64) float spill[P * V * Simd::kLanes];
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<true>(spill + i * 32, tail, v, x[i][v]);
        if (kFull)
          apply_unary(spill, P * 32, s.n);
        else
          for (int i = 0; i < P; ++i) apply_unary(spill + i * 32, b.valid, s.n);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::load<true>(spill + i * 32, tail, v);
        break;
      }
    }
  }
}

using BlockFn = void (*)(const Source&, const Place&, const Step*, size_t);

template <bool kFull, int P = 1>
BITWRIGHT_INLINE BlockFn block_of(uint32_t pixels) {
  if constexpr (P < Simd::kPixels) {
    if (pixels > P) return block_of<kFull, P + 1>(pixels);
  }
  return block<P, kFull>;
}

// Whether the tile's pixels lie one after the other in one sample.
inline bool is_run(const TilePixels& where) {
  for (uint32_t i = 1; i < where.pixels; ++i)
    if (where.n[i] != where.n[0] || where.p[i] != where.p[0] + i) return false;
  return true;
}

inline void run(const Source& source, const EpilogueTile& t, const Step* steps, size_t n_steps) {
  const bool consecutive = is_run(t.where);
  for (uint32_t j = 0; j < t.channels; j += 32) {
    const uint32_t valid = t.channels - j < 32 ? t.channels - j : 32;
    for (uint32_t i = 0; i < t.where.pixels; i += Simd::kPixels) {
      const uint32_t pixels = t.where.pixels - i < Simd::kPixels ? t.where.pixels - i : Simd::kPixels;
      const BlockFn f = valid == 32 ? block_of<true>(pixels) : block_of<false>(pixels);
      f(source, Place{&t, i, j, t.channel0 + j, valid, consecutive}, steps, n_steps);
    }
  }
}

// The limits of 32 channels, kept in registers while the pixels' padding class stays the same, which is nearly always.
struct Limits32 {
  Simd::I limit[Simd::kVectors];
  template <bool kFull>
  BITWRIGHT_INLINE void set(const int32_t* p, const Simd::Tail& tail) {
    BITWRIGHT_UNROLL for (int v = 0; v < Simd::kVectors; ++v) limit[v] = Simd::load_i32<kFull>(p, tail, v);
  }
  template <bool kFull>
  BITWRIGHT_INLINE uint32_t bits(const uint32_t* row, const Simd::Tail& tail) const {
    uint32_t out = 0;
    BITWRIGHT_UNROLL for (int v = 0; v < Simd::kVectors; ++v)
      out |= Simd::le(Simd::load_count<kFull>(row, tail, v), limit[v]) << (v * Simd::kLanes);
    return out;
  }
};

// One word of all pixels: channels [j, j + valid) of the tile.
template <bool kFull, class Limits, class Count>
BITWRIGHT_INLINE void threshold_word(const Count* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip,
                                     const ValueRef& out, uint32_t j, uint32_t valid, bool plain) {
  const Simd::Tail tail(valid);
  const uint32_t c = t.channel0 + j;
  const uint32_t flips = flip != nullptr ? flip[c / 32] : 0;
  const uint32_t real = kFull ? 0xffffffffu : (1u << valid) - 1u;
  const int32_t* row = nullptr;
  Limits limits;
  for (uint32_t i = 0; i < t.where.pixels; ++i) {
    if (limit[i] != row) {
      row = limit[i];
      limits.template set<kFull>(row + c, tail);
    }
    const uint32_t bits = (limits.template bits<kFull>(counts + static_cast<size_t>(i) * t.stride + j, tail) ^ flips) & real;
    uint32_t* to = value_pixel<uint32_t>(out, t.where, i);
    if (plain)
      to[c / 32] = bits;
    else
      store_grouped_bits(to, out, c, valid, bits);
  }
}

template <class Limits, class Count>
void threshold(const Count* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip, const ValueRef& out) {
  const bool plain = bits_are_plain(out);
  uint32_t j = 0;
  for (; j + 32 <= t.channels; j += 32) threshold_word<true, Limits>(counts, t, limit, flip, out, j, 32, plain);
  if (j < t.channels) threshold_word<false, Limits>(counts, t, limit, flip, out, j, t.channels - j, plain);
}

inline void from_counts16(const uint16_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n) {
  run({From::kCounts16, counts, origin, slope}, t, steps, n);
}

inline void from_counts32(const uint32_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n) {
  run({From::kCounts32, counts, origin, slope}, t, steps, n);
}

inline void from_float(const float* x, const EpilogueTile& t, const Step* steps, size_t n) { run({From::kFloat, x, nullptr, 0}, t, steps, n); }
