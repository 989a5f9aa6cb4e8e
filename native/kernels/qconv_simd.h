// int8 convolution of the x86 instruction sets: lanes are output channels of 32 bits, four input channels at a time. Included by one translation
// unit per instruction set, inside namespace bitwright and an unnamed namespace, after it has defined kPanel, kPixels and `struct Simd`:
//
//   I, kLanes            integer vector, its 32-bit lanes
//   A, activations(p)    4 bytes of one pixel, for all lanes; all(u): of a u32
//   kStep                bytes of a vector's weights for 4 input channels
//   pack4(to, w, kind)   kLanes channels of 4 weights, in `dot`'s order; w: [kLanes][4]
//   dot<Kind>(acc, a, w) acc += products of 4 channels, w: kStep bytes in memory
//   Kinds                ways of `dot`; kind_of(w, n) says which one n * 4 weights allow
//   zero, store, bytes(p) and weights(p): kLanes u8 or i8 as 32-bit lanes; multiply_add(acc, x, w): acc + x*w of such lanes
//
// A panel: 64 bytes (its kind), then [taps][ceil(channels/4)][kVectors][kStep]. Weights past the last channel are 0, so that the bytes read there, of
// the next pixel, do not count. Where the last channel of a tap would stand alone (lines of 21 bytes of a 7x7 stem), those of four taps are put
// together instead: [taps][channels/4], then [ceil(taps/4)].

constexpr int kVectors = static_cast<int>(kPanel) / Simd::kLanes;
constexpr size_t kHeader = 64;

struct Header {
  uint32_t kind;
  uint32_t vectors;  // that hold real output channels
};

// Whether the last channels of the taps are put together: worth it only where taps are short.
bool lonely(uint32_t taps, uint32_t channels) { return taps > 1 && channels % 4 == 1 && channels > 1 && channels < 64; }

size_t dwords(uint32_t taps, uint32_t channels) { return lonely(taps, channels) ? channels / 4 : (static_cast<size_t>(channels) + 3) / 4; }

size_t panel_bytes(uint32_t taps, uint32_t channels) {
  const size_t together = lonely(taps, channels) ? (taps + 3) / 4 : 0;
  return kHeader + (taps * dwords(taps, channels) + together) * kVectors * Simd::kStep;
}

void pack(void* panels, const int8_t* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const size_t row = static_cast<size_t>(taps) * channels, bytes = panel_bytes(taps, channels);
  for (uint32_t first = 0; first < outputs; first += kPanel) {
    uint8_t* to = static_cast<uint8_t*>(panels) + first / kPanel * bytes;
    const uint32_t real = outputs - first < kPanel ? outputs - first : kPanel;
    std::memset(to, 0, kHeader);
    Header header{0, (real + Simd::kLanes - 1) / Simd::kLanes};
    // Twice over the weights: what kind the panel is, then its bytes.
    for (int pass = 0; pass < 2; ++pass) {
      uint8_t* at = to + kHeader;
      // Four weights of each channel, from place k of its row on, `step` apart, at most `count` of them.
      const auto four = [&](size_t k, size_t step, uint32_t count) {
        for (int v = 0; v < kVectors; ++v, at += Simd::kStep) {
          int8_t w[Simd::kLanes][4] = {};
          for (uint32_t lane = 0; lane < Simd::kLanes; ++lane) {
            const uint32_t channel = static_cast<uint32_t>(v) * Simd::kLanes + lane;
            for (uint32_t b = 0; b < 4 && b < count && channel < real; ++b) w[lane][b] = weights[(first + channel) * row + k + b * step];
          }
          if (pass == 1) {
            Simd::pack4(at, &w[0][0], header.kind);
          } else if (const uint32_t kind = Simd::kind_of(&w[0][0], Simd::kLanes); kind > header.kind) {
            header.kind = kind;
          }
        }
      };
      const auto n = static_cast<uint32_t>(dwords(taps, channels));
      for (uint32_t tap = 0; tap < taps; ++tap)
        for (uint32_t k = 0; k < n; ++k) four(static_cast<size_t>(tap) * channels + 4 * k, 1, channels - 4 * k);
      for (uint32_t tap = 0; tap < taps && lonely(taps, channels); tap += 4)
        four(static_cast<size_t>(tap) * channels + channels - 1, channels, taps - tap);
    }
    std::memcpy(to, &header, sizeof header);
  }
}

// Small tiles take several sets of accumulators, so that the additions of one do not wait for each other.
constexpr int sets_of(int accumulators) { return accumulators >= 8 ? 1 : accumulators >= 4 ? 2 : accumulators >= 2 ? 4 : 8; }

template <uint32_t kKind, int P, int V, int kSets>
BITWRIGHT_INLINE void accumulate(Simd::I (&acc)[kSets][P][V], const uint8_t* const (&x)[P], const uint8_t* w, size_t n) {
  constexpr size_t kRow = kVectors * Simd::kStep;
  size_t k = 0;
  for (; k + kSets <= n; k += kSets, w += kSets * kRow) {
    BITWRIGHT_UNROLL for (int s = 0; s < kSets; ++s)
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const Simd::A a = Simd::activations(x[i] + 4 * (k + s));
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::dot<kKind>(acc[s][i][v], a, w + s * kRow + v * Simd::kStep);
      }
  }
  if (kSets == 1) return;
  for (; k < n; ++k, w += kRow)
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const Simd::A a = Simd::activations(x[i] + 4 * k);
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::dot<kKind>(acc[0][i][v], a, w + v * Simd::kStep);
    }
}

// The last channels of four taps at a time.
template <uint32_t kKind, int P, int V>
BITWRIGHT_INLINE void accumulate_last(Simd::I (&acc)[P][V], const Int8Tile& t, const uint8_t* w) {
  const uint32_t last = t.channels - 1;
  for (uint32_t tap = 0; tap < t.taps; tap += 4, w += kVectors * Simd::kStep) {
    const uint32_t more = t.taps - tap;
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const uint8_t* x = t.base[i] + last;
      const int32_t* offset = t.offset[i] + tap;
      uint32_t four = x[offset[0]];
      if (more > 1) four |= static_cast<uint32_t>(x[offset[1]]) << 8;
      if (more > 2) four |= static_cast<uint32_t>(x[offset[2]]) << 16;
      if (more > 3) four |= static_cast<uint32_t>(x[offset[3]]) << 24;
      const Simd::A a = Simd::all(four);
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::dot<kKind>(acc[i][v], a, w + v * Simd::kStep);
    }
  }
}

// kLine: the dwords of a tap where that is known, so that the loop over them is unrolled; or 0.
template <uint32_t kKind, int P, int V, uint32_t kLine = 0>
void tile(int32_t* out, const Int8Tile& t) {
  constexpr int kSets = sets_of(P * V);
  Simd::I acc[kSets][P][V];
  BITWRIGHT_UNROLL for (int s = 0; s < kSets; ++s)
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[s][i][v] = Simd::zero();
  const size_t n = kLine != 0 ? kLine : dwords(t.taps, t.channels);
  const uint8_t* w = static_cast<const uint8_t*>(t.weights) + kHeader;
  for (uint32_t tap = 0; tap < t.taps; ++tap, w += n * kVectors * Simd::kStep) {
    const uint8_t* x[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = t.base[i] + t.offset[i][tap];
    if constexpr (kLine != 0) {
      BITWRIGHT_UNROLL for (uint32_t k = 0; k < kLine; ++k) {
        const uint8_t* at[P];
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) at[i] = x[i] + 4 * k;
        accumulate<kKind, P, V, kSets>(acc, at, w + k * kVectors * Simd::kStep, 1);
      }
    } else {
      accumulate<kKind, P, V, kSets>(acc, x, w, n);
    }
  }
  if (lonely(t.taps, t.channels)) accumulate_last<kKind>(acc[0], t, w);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
      Simd::I sum = acc[0][i][v];
      BITWRIGHT_UNROLL for (int s = 1; s < kSets; ++s) sum = Simd::add(sum, acc[s][i][v]);
      Simd::store(out + i * static_cast<int>(kPanel) + v * Simd::kLanes, sum);
    }
}

using TileFn = void (*)(int32_t*, const Int8Tile&);

template <uint32_t kKind, int V, int P = 1>
BITWRIGHT_INLINE TileFn tile_of(uint32_t pixels) {
  if constexpr (P < static_cast<int>(kPixels)) {
    if (pixels > P) return tile_of<kKind, V, P + 1>(pixels);
  }
  return tile<kKind, P, V>;
}

template <uint32_t kKind, int V = kVectors>
BITWRIGHT_INLINE TileFn narrow_tile_of(uint32_t pixels, uint32_t vectors) {
  if constexpr (V > 1) {
    if (vectors <= V / 2) return narrow_tile_of<kKind, V / 2>(pixels, vectors);
  }
  return tile_of<kKind, V>(pixels);
}

// Whole tiles of short taps: a loop of a few rounds within a loop of a few costs as much as it computes. The lines of 3 channels: kernels of width 3
// (2 dwords and the last channel), 5 (4), 7 (5 and the last channel) and 11 (8 and the last channel).
template <uint32_t kKind>
BITWRIGHT_INLINE TileFn whole_tile_of(uint32_t taps, uint32_t channels) {
  if (taps == 1) return nullptr;
  switch (dwords(taps, channels)) {
    case 1: return tile<kKind, static_cast<int>(kPixels), kVectors, 1>;
    case 2: return tile<kKind, static_cast<int>(kPixels), kVectors, 2>;
    case 4: return tile<kKind, static_cast<int>(kPixels), kVectors, 4>;
    case 5: return tile<kKind, static_cast<int>(kPixels), kVectors, 5>;
    case 8: return tile<kKind, static_cast<int>(kPixels), kVectors, 8>;
    default: return nullptr;
  }
}

template <uint32_t kKind>
BITWRIGHT_INLINE TileFn best_tile_of(const Int8Tile& t, uint32_t vectors) {
  TileFn fn = nullptr;
  if (t.pixels == kPixels && 2 * vectors > kVectors) fn = whole_tile_of<kKind>(t.taps, t.channels);
  return fn != nullptr ? fn : narrow_tile_of<kKind>(t.pixels, vectors);
}

void run(int32_t* out, const Int8Tile& t) {
  Header header;
  std::memcpy(&header, t.weights, sizeof header);
  TileFn fn = nullptr;
  if constexpr (Simd::kKinds > 1) {
    if (header.kind != 0) fn = best_tile_of<1>(t, header.vectors);
  }
  if (fn == nullptr) fn = best_tile_of<0>(t, header.vectors);
  fn(out, t);
}

// V vectors of channels of P pixels, from channel c on.
template <int P, int V>
BITWRIGHT_INLINE void depthwise_tile(int32_t* out, const Int8Tile& t, uint32_t pixel, uint32_t c) {
  Simd::I acc[P][V];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = Simd::zero();
  const int8_t* w = static_cast<const int8_t*>(t.weights) + c;
  for (uint32_t tap = 0; tap < t.taps; ++tap, w += kPanel) {
    Simd::I b[V];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) b[v] = Simd::weights(w + v * Simd::kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const uint8_t* x = t.base[pixel + i] + t.offset[pixel + i][tap] + c;
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = Simd::multiply_add(acc[i][v], Simd::bytes(x + v * Simd::kLanes), b[v]);
    }
  }
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store(out + (pixel + i) * kPanel + c + v * Simd::kLanes, acc[i][v]);
}

void depthwise(int32_t* out, const Int8Tile& t) {
  constexpr int kBlock = 2;  // pixels at a time
  for (uint32_t c = 0; c < t.channels; c += 2 * Simd::kLanes) {
    const bool two = t.channels - c > Simd::kLanes;
    uint32_t i = 0;
    for (; i + kBlock <= t.pixels; i += kBlock) two ? depthwise_tile<kBlock, 2>(out, t, i, c) : depthwise_tile<kBlock, 1>(out, t, i, c);
    for (; i < t.pixels; ++i) two ? depthwise_tile<1, 2>(out, t, i, c) : depthwise_tile<1, 1>(out, t, i, c);
  }
}
