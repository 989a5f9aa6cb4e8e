// The float convolution of the SIMD instruction sets. Included by one translation unit per instruction set, inside namespace bitwright and an
// unnamed namespace, after it has defined the vector F of kLanes floats, load (aligned), load_any, load_first(p, n) (n < kLanes floats, the other
// lanes 0, nothing past them read), store, broadcast, zero, fma, kRegisters (of the CPU), kPanel and kPixels.

constexpr int kVectors = static_cast<int>(kPanel) / kLanes;

// A tap in the padding reads zeros from here, a stretch of channels at a time: the loop has no branch for it.
constexpr uint32_t kStretch = 512;
alignas(64) const float zeros[kStretch] = {};

size_t panel_floats(uint32_t taps, uint32_t channels) { return static_cast<size_t>(taps) * channels * kPanel; }

void pack(float* panels, const float* weights, uint32_t outputs, uint32_t taps, uint32_t channels) {
  const size_t steps = static_cast<size_t>(taps) * channels;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  for (uint32_t panel = 0; panel < count; ++panel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t lane = 0; lane < kPanel; ++lane) {
        const uint32_t channel = panel * kPanel + lane;
        *panels++ = channel < outputs ? weights[channel * steps + k] : 0.0f;
      }
}

// acc += x * w for `channels` input channels of P pixels. An instruction set with a better way has defined its own.
#if !defined(BITWRIGHT_OWN_ACCUMULATE)
// A dense layer of one sample passes over its weights once: they come from beyond L2, a row in as little time as the products need.
constexpr size_t kAhead = 48;  // rows

BITWRIGHT_INLINE void prefetch(const float* row) {
  for (uint32_t i = 0; i < kPanel; i += 16) __builtin_prefetch(row + i);
}

template <int P>
BITWRIGHT_INLINE void accumulate(F (&acc)[P][kVectors], const float* const (&x)[P], const float* w, size_t channels) {
  for (size_t k = 0; k < channels; ++k, w += kPanel) {
    if constexpr (P <= 2) prefetch(w + kAhead * kPanel);
    F b[kVectors];
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) b[v] = load(w + v * kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const F a = broadcast(x[i] + k);
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = fma(a, b[v], acc[i][v]);
    }
  }
}
#endif

template <int P>
BITWRIGHT_INLINE void clear(F (&acc)[P][kVectors]) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = zero();
}

template <int P>
BITWRIGHT_INLINE void store_all(float* out, const F (&acc)[P][kVectors]) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) store(out + i * static_cast<int>(kPanel) + v * kLanes, acc[i][v]);
}

template <int P>
BITWRIGHT_INLINE void sum(F (&acc)[P][kVectors], const FloatTile& t) {
  clear<P>(acc);
  const float* w = t.weights;
  for (uint32_t tap = 0; tap < t.taps; ++tap)
    for (uint32_t first = 0; first < t.channels; first += kStretch) {
      const uint32_t channels = t.channels - first < kStretch ? t.channels - first : kStretch;
      const float* x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const int32_t offset = t.offset[i][tap];
        x[i] = offset < 0 ? zeros : t.base[i] + offset + first;
      }
      accumulate(acc, x, w, channels);
      w += static_cast<size_t>(channels) * kPanel;
    }
}

template <int P>
void tile(float* out, const FloatTile& t) {
  F acc[P][kVectors];
  sum<P>(acc, t);
  store_all<P>(out, acc);
}

// Stems: kChannels input channels, few enough that finding a tap's pixel costs as much as its products. The loop over them is unrolled; where the
// registers hold a whole tap's weights, the pixels are taken one after the other, so that one pointer is alive at a time.
template <int P, int kChannels>
void stem_tile(float* out, const FloatTile& t) {
  F acc[P][kVectors];
  clear<P>(acc);
  const float* w = t.weights;
  constexpr bool kWeightsFit = P * kVectors + kChannels * kVectors + 1 <= kRegisters;
  for (size_t tap = 0; tap < t.taps; ++tap, w += kChannels * kPanel) {
    if constexpr (!kWeightsFit) {
      const float* x[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        const int32_t offset = t.offset[i][tap];
        x[i] = offset < 0 ? zeros : t.base[i] + offset;
      }
      accumulate(acc, x, w, kChannels);
      continue;
    }
    F b[kChannels][kVectors];
    BITWRIGHT_UNROLL for (int k = 0; k < kChannels; ++k)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) b[k][v] = load(w + k * static_cast<int>(kPanel) + v * kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const int32_t offset = t.offset[i][tap];
      const float* x = offset < 0 ? zeros : t.base[i] + offset;
      BITWRIGHT_UNROLL for (int k = 0; k < kChannels; ++k) {
        const F a = broadcast(x + k);
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = fma(a, b[k][v], acc[i][v]);
      }
    }
  }
  store_all<P>(out, acc);
}

using TileFn = void (*)(float*, const FloatTile&);

template <int P = 1>
BITWRIGHT_INLINE TileFn tile_of(uint32_t pixels, uint32_t channels) {
  if constexpr (P < static_cast<int>(kPixels)) {
    if (pixels > P) return tile_of<P + 1>(pixels, channels);
  }
  switch (channels) {
    case 1: return stem_tile<P, 1>;
    case 2: return stem_tile<P, 2>;
    case 3: return stem_tile<P, 3>;
    default: return tile<P>;
  }
}

void run(float* out, const FloatTile& t) { tile_of(t.pixels, t.channels)(out, t); }

// Depthwise: lanes are channels. V vectors of channels of P pixels, from channel c on; with `last`, as many of the last vector are real.
template <int P, int V, bool kTail>
BITWRIGHT_INLINE void depthwise_tile(float* out, const FloatTile& t, uint32_t pixel, uint32_t c, uint32_t last) {
  F acc[P][V];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = zero();
  const float* w = t.weights + c;
  for (uint32_t tap = 0; tap < t.taps; ++tap, w += kPanel) {
    F b[V];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) b[v] = load(w + v * kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      const int32_t offset = t.offset[pixel + i][tap];
      const float* x = offset < 0 ? zeros : t.base[pixel + i] + offset + c;
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
        const float* at = x + v * kLanes;
        acc[i][v] = fma(kTail && v == V - 1 ? load_first(at, last) : load_any(at), b[v], acc[i][v]);
      }
    }
  }
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) store(out + (pixel + i) * kPanel + c + v * kLanes, acc[i][v]);
}

template <int V, bool kTail>
BITWRIGHT_INLINE void depthwise_pixels(float* out, const FloatTile& t, uint32_t c, uint32_t last) {
  constexpr uint32_t kBlock = 4;  // with two vectors: as many sums as two pipes need to be busy
  uint32_t i = 0;
  for (; i + kBlock <= t.pixels; i += kBlock) depthwise_tile<kBlock, V, kTail>(out, t, i, c, last);
  for (; i < t.pixels; ++i) depthwise_tile<1, V, kTail>(out, t, i, c, last);
}

void depthwise(float* out, const FloatTile& t) {
  for (uint32_t c = 0; c < t.channels; c += 2 * kLanes) {
    const uint32_t left = t.channels - c;
    if (left >= 2 * kLanes)
      depthwise_pixels<2, false>(out, t, c, 0);
    else if (left > kLanes)
      depthwise_pixels<2, true>(out, t, c, left - kLanes);
    else if (left == kLanes)
      depthwise_pixels<1, false>(out, t, c, 0);
    else
      depthwise_pixels<1, true>(out, t, c, left);
  }
}
