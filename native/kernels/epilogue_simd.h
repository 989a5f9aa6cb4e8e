// The epilogue of the SIMD instruction sets: one pass, x stays in registers over all steps. Included by one translation unit per instruction set,
// inside namespace bitwright and an unnamed namespace, after it has defined `struct Simd`:
//
//   F                    float vector of kLanes; kVectors = 32 / kLanes of them hold 32 channels of one pixel
//   kPixels, kWords      largest block: kPixels pixels x 32 * kWords channels, in half of the registers; the rest is for operands
//   Tail(valid)          which of the 32 channels of a block are real; used only where kFull is false
//   load<kFull>(p, tail, v), store<kFull>(p, tail, v, x), load_i32<kFull>(...), load_count<kFull>(const uint16_t* or const uint32_t*, ...)
//   set, add, mul, select_ge0(x, y) = x >= 0 ? x : y, below(x, p) = x < p ? p : x, above(x, p) = x > p ? p : x, to_float,
//   sub_shifted(x, count, shift) = x - (count << shift), shift as made by set_shift(s)
//   add_i32, set_i32; store_u8<kFull>(p, tail, x, factor, low, high, zero): 32 channels as STORE_U8 wants them
//   ge32(x, t)           the word of x >= t for 32 channels; NaN is not >=
//   le(count, limit)     the bits of one vector
//   Limits16             like Limits32 below, for counts of 16 bits
//
// Cost: a step is one switch for a whole block. Blocks are wide rather than tall, so that values are read and written in long stretches.

enum class From { kCounts16, kCounts32, kFloat, kInt32, kI16 };

struct Source {
  From from;
  const void* data;
  const int32_t* const* origin;  // a row for each pixel of the tile
  int32_t slope;
};

// One block: pixels [i0, i0 + P), one after the other in one sample, and channels [j0, j0 + valid) of the tile, j0 a multiple of 32;
// valid is 32 * W in a full block.
struct Place {
  const EpilogueTile* tile;
  uint32_t i0, j0, c0, valid;
};

// The block's first pixel in a value; the others follow at pixel_stride.
template <class T>
BITWRIGHT_INLINE T* first_pixel(const ValueRef& v, const Place& b, size_t channel) {
  return value_pixel<T>(v, b.tile->where, b.i0) + channel;
}

BITWRIGHT_NOINLINE void store_grouped_block(const uint32_t* bits, uint32_t pixels, uint32_t words, const ValueRef& v, const Place& b) {
  uint32_t* to = first_pixel<uint32_t>(v, b, 0);
  for (uint32_t i = 0; i < pixels; ++i, to += v.pixel_stride)
    for (uint32_t w = 0; w < words; ++w) store_grouped_bits(to, v, b.c0 + 32 * w, words == 1 ? b.valid : 32, *bits++);
}

template <int P, int W, bool kFull, class Count>
BITWRIGHT_INLINE void load_counts(Simd::F (&x)[P][W * Simd::kVectors], const Source& s, const Place& b, const Simd::Tail& tail) {
  const Simd::Shift shift = Simd::set_shift(s.slope - 1);  // slope 1 or 2
  const Count* row = static_cast<const Count*>(s.data) + static_cast<size_t>(b.i0) * b.tile->stride + b.j0;
  const int32_t* const* origins = s.origin + b.i0;
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += b.tile->stride) {
    const int32_t* origin = origins[i] + b.c0;
    BITWRIGHT_UNROLL for (int v = 0; v < W * Simd::kVectors; ++v)
      x[i][v] = Simd::to_float(
          Simd::sub_shifted(Simd::load_i32<kFull>(origin, tail, v), Simd::load_count<kFull>(row, tail, v), shift));
  }
}

template <int P, int W, bool kFull>
BITWRIGHT_INLINE void add_shorts(Simd::F (&x)[P][W * Simd::kVectors], const Step& s, const Place& b, const Simd::Tail& tail) {
  const Simd::F scale = Simd::set(s.value_scale);
  const int16_t* row = first_pixel<const int16_t>(s.value, b, b.c0);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += s.value.pixel_stride)
    BITWRIGHT_UNROLL for (int v = 0; v < W * Simd::kVectors; ++v)
      x[i][v] = Simd::add(x[i][v], Simd::mul(Simd::to_float(Simd::load_short<kFull>(row, tail, v)), scale));
}

template <int P, int W, bool kFull>
BITWRIGHT_INLINE void load_int32(Simd::F (&x)[P][W * Simd::kVectors], const Source& s, const Place& b, const Simd::Tail& tail) {
  const int32_t* row = static_cast<const int32_t*>(s.data) + static_cast<size_t>(b.i0) * b.tile->stride + b.j0;
  const int32_t* const* origins = s.origin + b.i0;
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += b.tile->stride) {
    const int32_t* origin = origins[i] + b.c0;
    BITWRIGHT_UNROLL for (int v = 0; v < W * Simd::kVectors; ++v)
      x[i][v] = Simd::to_float(Simd::add_i32(Simd::load_i32<kFull>(row, tail, v), Simd::load_i32<kFull>(origin, tail, v)));
  }
}

template <int P, int W, bool kFull>
BITWRIGHT_INLINE void store_u8_step(const Simd::F (&x)[P][W * Simd::kVectors], const Step& s, const Place& b, const Simd::Tail& tail) {
  const int32_t zero = s.value.zero;
  const Simd::F factor = Simd::set(s.p0), low = Simd::set(static_cast<float>(-zero)), high = Simd::set(static_cast<float>(255 - zero));
  const Simd::I offset = Simd::set_i32(zero);
  uint8_t* row = first_pixel<uint8_t>(s.value, b, b.c0);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += s.value.pixel_stride)
    BITWRIGHT_UNROLL for (int w = 0; w < W; ++w)
      Simd::store_u8<kFull>(row + 32 * w, tail, &x[i][w * Simd::kVectors], factor, low, high, offset);
}

template <int P, int W, bool kFull>
BITWRIGHT_INLINE void store_bits_step(const Simd::F (&x)[P][W * Simd::kVectors], const Step& s, const Place& b, const Simd::Tail& tail) {
  constexpr int V = Simd::kVectors;
  uint32_t bits[P * W];
  BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) {
    Simd::F t[V];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) t[v] = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, w * V + v) : Simd::set(s.p0);
    const uint32_t flip = s.flip != nullptr ? s.flip[b.c0 / 32 + static_cast<uint32_t>(w)] : 0;
    const uint32_t real = kFull ? 0xffffffffu : (1u << b.valid) - 1u;
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) bits[i * W + w] = (Simd::ge32(&x[i][w * V], t) ^ flip) & real;
  }
  if (!bits_are_plain(s.value)) return store_grouped_block(bits, P, W, s.value, b);
  uint32_t* to = first_pixel<uint32_t>(s.value, b, b.c0 / 32);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, to += s.value.pixel_stride)
    BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) to[w] = bits[i * W + w];
}

#include "epilogue_levels.h"

// A copy for functions that are not inlined: if x itself had an address, it would lie in memory from step to step.
template <int P, int V>
struct Held {
  Simd::F x[P][V];
  BITWRIGHT_INLINE explicit Held(const Simd::F (&from)[P][V]) {
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = from[i][v];
  }
};

template <int P, int W, bool kFull>
void quantized_steps(const Simd::F (&x)[P][W * Simd::kVectors], const Place& b, const Step* steps, size_t n_steps);  // epilogue_fixed.h

template <int P, int W, bool kFull>
void block(const Source& source, const Place& b, const Step* steps, size_t n_steps) {
  using F = Simd::F;
  constexpr int V = W * Simd::kVectors;
  const Simd::Tail tail(b.valid);
  F x[P][V];
  switch (source.from) {
    case From::kCounts16: load_counts<P, W, kFull, uint16_t>(x, source, b, tail); break;
    case From::kCounts32: load_counts<P, W, kFull, uint32_t>(x, source, b, tail); break;
    case From::kInt32: load_int32<P, W, kFull>(x, source, b, tail); break;
    default: {
      const float* row = static_cast<const float*>(source.data) + static_cast<size_t>(b.i0) * b.tile->stride + b.j0;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += b.tile->stride)
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::load<kFull>(row, tail, v);
      break;
    }
  }
  for (const Step *step = steps, *end = steps + n_steps; step != end; ++step) {
    const Step& s = *step;
    switch (s.kind) {
      case StepKind::kQuantizeI16: return quantized_steps<P, W, kFull>(Held<P, V>(x).x, b, step, static_cast<size_t>(end - step));
      default: break;  // no other i16 step follows a float step
      case StepKind::kThreshold: break;  // the threshold functions do it: it is never a step of a chain
      case StepKind::kAffine:
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
          const F a = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, v) : Simd::set(s.p0);
          const F c = s.b != nullptr ? Simd::load<kFull>(s.b + b.c0, tail, v) : Simd::set(s.p1);
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i][v] = Simd::add(Simd::mul(x[i][v], a), c);
        }
        break;
      case StepKind::kAdd: {
        if (s.value_scale != 0) {
          add_shorts<P, W, kFull>(x, s, b, tail);
          break;
        }
        const float* row = first_pixel<const float>(s.value, b, b.c0);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += s.value.pixel_stride)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::add(x[i][v], Simd::load<kFull>(row, tail, v));
        break;
      }
      case StepKind::kMul:
        if (s.n == 1) {
          const float* gate = value_gate(s.value, b.tile->where, b.i0) + b.c0;
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
            const F g = Simd::load<kFull>(gate, tail, v);
            BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i][v] = Simd::mul(x[i][v], g);
          }
        } else {
          const float* row = first_pixel<const float>(s.value, b, b.c0);
          BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += s.value.pixel_stride)
            BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::mul(x[i][v], Simd::load<kFull>(row, tail, v));
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
        float* row = first_pixel<float>(s.value, b, b.c0);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, row += s.value.pixel_stride)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<kFull>(row, tail, v, x[i][v]);
        break;
      }
      case StepKind::kStoreBits: store_bits_step<P, W, kFull>(x, s, b, tail); break;
      case StepKind::kStoreU8: store_u8_step<P, W, kFull>(x, s, b, tail); break;
      case StepKind::kStoreLevels: store_levels_step<P, W, kFull>(Held<P, V>(x).x, s, b, tail); break;
      case StepKind::kUnary: {  // through memory: the functions are shared scalar code
        alignas(64) float spill[P * V * Simd::kLanes];
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<true>(spill + i * (32 * W), tail, v, x[i][v]);
        if (kFull)
          apply_unary(spill, P * 32 * W, s.n);
        else
          for (int i = 0; i < P; ++i) apply_unary(spill + i * 32, b.valid, s.n);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = Simd::load<true>(spill + i * (32 * W), tail, v);
        break;
      }
    }
  }
}

using BlockFn = void (*)(const Source&, const Place&, const Step*, size_t);

template <int W, bool kFull, int P = 1>
BITWRIGHT_INLINE BlockFn block_of(uint32_t pixels) {
  if constexpr (P < Simd::kPixels) {
    if (pixels > P) return block_of<W, kFull, P + 1>(pixels);
  }
  return block<P, W, kFull>;
}

inline void run(const Source& source, const EpilogueTile& t, const Step* steps, size_t n_steps) {
  constexpr uint32_t kWide = 32 * Simd::kWords;
  uint32_t pixels = 0;
  for (uint32_t i = 0; i < t.where.pixels; i += pixels) {
    pixels = run_of_pixels(t.where, i, Simd::kPixels);
    const BlockFn wide = block_of<Simd::kWords, true>(pixels);
    uint32_t j = 0;
    for (; j + kWide <= t.channels; j += kWide) wide(source, Place{&t, i, j, t.channel0 + j, kWide}, steps, n_steps);
    if (Simd::kWords > 1 && j + 32 <= t.channels) {
      block_of<1, true>(pixels)(source, Place{&t, i, j, t.channel0 + j, 32}, steps, n_steps);
      j += 32;
    }
    if (j < t.channels) block_of<1, false>(pixels)(source, Place{&t, i, j, t.channel0 + j, t.channels - j}, steps, n_steps);
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

// Channels [j, j + valid) of pixels [i, end), which lie one after the other; kWords words of 32 channels, the last one full or not.
template <int kWords, bool kFull, class Limits, class Count>
BITWRIGHT_INLINE void threshold_words(const Count* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip,
                                      const ValueRef& out, uint32_t i, uint32_t end, uint32_t j, uint32_t valid) {
  const Simd::Tail tail(valid);
  const uint32_t c = t.channel0 + j;
  const uint32_t real = kFull ? 0xffffffffu : (1u << valid) - 1u;
  const bool plain = bits_are_plain(out);
  uint32_t flips[kWords];
  Limits limits[kWords];
  const int32_t* limit_row = limit[i];
  BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w) {
    flips[w] = flip != nullptr ? flip[c / 32 + static_cast<uint32_t>(w)] : 0;
    limits[w].template set<kFull>(limit_row + c + 32 * w, tail);
  }
  const Count* row = counts + static_cast<size_t>(i) * t.stride + j;
  uint32_t* to = value_pixel<uint32_t>(out, t.where, i);
  for (; i < end; ++i, row += t.stride, to += out.pixel_stride) {
    if (limit[i] != limit_row) {
      limit_row = limit[i];
      BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w) limits[w].template set<kFull>(limit_row + c + 32 * w, tail);
    }
    BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w) {
      const uint32_t bits = (limits[w].template bits<kFull>(row + 32 * w, tail) ^ flips[w]) & real;
      if (plain)
        to[c / 32 + static_cast<uint32_t>(w)] = bits;
      else
        store_grouped_bits(to, out, c + 32 * static_cast<uint32_t>(w), valid, bits);
    }
  }
}

template <class Limits, class Count>
void threshold(const Count* counts, const EpilogueTile& t, const int32_t* const* limit, const uint32_t* flip, const ValueRef& out) {
  uint32_t pixels = 0;
  for (uint32_t i = 0; i < t.where.pixels; i += pixels) {
    pixels = run_of_pixels(t.where, i, t.where.pixels);
    uint32_t j = 0;
    for (; j + 64 <= t.channels; j += 64) threshold_words<2, true, Limits>(counts, t, limit, flip, out, i, i + pixels, j, 32);
    if (j + 32 <= t.channels) {
      threshold_words<1, true, Limits>(counts, t, limit, flip, out, i, i + pixels, j, 32);
      j += 32;
    }
    if (j < t.channels) threshold_words<1, false, Limits>(counts, t, limit, flip, out, i, i + pixels, j, t.channels - j);
  }
}
