// Rows of an int8 convolution of few channels for AVX-512 VNNI: every tap is a line of the kernel, and neighbouring outputs lie one step apart. Included
// by one translation unit behind qconv_simd.h, whose panels it reads.
//
// Tiles are 4 pixels x 64 channels (8 x 32, 8 x 16): measured on Zen 5, tiles of 16 accumulators reach 96 % of the vpdpbusd rate on lines of 21 bytes,
// those of 24 only 88 to 93 %, because less of a tile's end overlaps with the next one's begin. vpdpbusd is inline assembly: gcc 12 schedules the
// intrinsic so that accumulators go through memory (63 %). Where the last channels of the lines are packed apart, they are collected for the whole row
// first, 16 pixels and 4 lines at a time (some 20 instructions); tile by tile that costs 12 % of the time.

constexpr uint32_t kSpareBlock = 16;  // pixels whose last channels are collected at a time

size_t lines_spare(uint32_t taps, uint32_t channels, uint32_t pixels) {
  if (!lonely(taps, channels)) return 0;
  return static_cast<size_t>((taps + 3) / 4) * ((pixels + kLinePixels + kSpareBlock - 1) / kSpareBlock * kSpareBlock) * 4;
}

// Byte i * step of a line for 16 pixels, in the low bytes of the 16-bit lanes 8k to 8k + 3, where vpunpcklwd takes them from; k = i / 4.
struct Picker {
  __m512i word, shift;
  explicit Picker(size_t step) {
    alignas(64) uint16_t words[32] = {}, shifts[32] = {};
    for (uint32_t i = 0; i < kSpareBlock; ++i) {
      words[i / 4 * 8 + i % 4] = static_cast<uint16_t>(i * step / 2);
      shifts[i / 4 * 8 + i % 4] = static_cast<uint16_t>(i * step % 2 * 8);
    }
    word = _mm512_load_si512(words), shift = _mm512_load_si512(shifts);
  }
  BITWRIGHT_INLINE __m512i pick(const uint8_t* p) const {
    const __m512i both = _mm512_permutex2var_epi16(_mm512_loadu_si512(p), word, _mm512_loadu_si512(p + 64));
    return _mm512_srlv_epi16(both, shift);
  }
};

// [ceil(taps/4)][pixels rounded up]: the last channels of four lines.
void collect_last(const Int8Lines& job, size_t row) {
  const uint32_t last = job.channels - 1;
  if (job.step > 8) {  // 16 pixels do not fit two vectors
    for (uint32_t tap = 0; tap < job.taps; ++tap) {
      const uint8_t* x = job.line[tap] + last;
      uint8_t* to = job.spare + tap / 4 * row * 4 + tap % 4;
      for (uint32_t i = 0; i < job.pixels; ++i) to[4 * i] = x[i * job.step];
    }
    return;
  }
  const Picker picker(job.step);
  const __m512i low = _mm512_set1_epi16(0xFF);
  for (uint32_t tap = 0; tap < job.taps; tap += 4) {
    const uint8_t* x[4];  // of missing lines, whose weights are 0, any
    for (uint32_t k = 0; k < 4; ++k) x[k] = job.line[tap + k < job.taps ? tap + k : tap] + last;
    for (uint32_t i = 0; i < job.pixels; i += kSpareBlock) {
      const size_t at = i * job.step;
      // (low & a) | b << 8
      const __m512i first = _mm512_ternarylogic_epi32(picker.pick(x[0] + at), low, _mm512_slli_epi16(picker.pick(x[1] + at), 8), 0xEA);
      const __m512i second = _mm512_ternarylogic_epi32(picker.pick(x[2] + at), low, _mm512_slli_epi16(picker.pick(x[3] + at), 8), 0xEA);
      _mm512_storeu_si512(job.spare + (tap / 4 * row + i) * 4, _mm512_unpacklo_epi16(first, second));
    }
  }
}

// 4 bytes of each pixel, `at` bytes behind x.
template <int P, int V>
BITWRIGHT_INLINE void line_step(__m512i (&acc)[P][V], const uint8_t* const (&x)[P], size_t at, const uint8_t* w) {
  __m512i weights[V];
  BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) weights[v] = _mm512_load_si512(w + v * 64);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
    const __m512i a = Simd::activations(x[i] + at);
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc[i][v]) : "v"(a), "v"(weights[v]));
  }
}

// Where pixels begin, each in a register: gcc would rather keep sums of steps, which are too many.
template <int P>
BITWRIGHT_INLINE void line_pixels(const uint8_t* (&x)[P], const uint8_t* first, size_t step) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, first += step) {
    x[i] = first;
    __asm__("" : "+r"(x[i]));
  }
}

// Pixels [first, first + P) of the row; those past its end are whatever lies there. kLine: the dwords of a line, if they are known.
template <int P, int V, uint32_t kLine>
BITWRIGHT_INLINE void line_tile(__m512i (&acc)[P][V], const Int8Lines& job, uint32_t first, size_t row) {
  constexpr size_t kRow = kVectors * Simd::kStep;
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
    const int32_t* origin = job.origin[first + static_cast<uint32_t>(i)];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = _mm512_loadu_si512(origin + v * Simd::kLanes);
  }
  const size_t n = kLine != 0 ? kLine : dwords(job.taps, job.channels), at = first * job.step;
  const uint8_t* w = static_cast<const uint8_t*>(job.weights) + kHeader;
  for (uint32_t tap = 0; tap < job.taps; ++tap) {
    const uint8_t* x[P];
    line_pixels(x, job.line[tap] + at, job.step);
    if constexpr (kLine != 0) {
      BITWRIGHT_UNROLL for (uint32_t k = 0; k < kLine; ++k) line_step<P, V>(acc, x, 4 * k, w + k * kRow);
      w += kLine * kRow;
    } else {
      for (size_t k = 0; k < n; ++k, w += kRow) line_step<P, V>(acc, x, 4 * k, w);
    }
  }
  if (row == 0) return;
  const uint8_t* last = job.spare + first * size_t{4};
  for (uint32_t tap = 0; tap < job.taps; tap += 4, w += kRow, last += 4 * row) {
    const uint8_t* x[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = last + 4 * i;
    line_step<P, V>(acc, x, 0, w);
  }
}

template <int P, int V, uint32_t kLine>
void line_row(int32_t* out, const Int8Lines& job, size_t row) {
  for (uint32_t first = 0; first < job.pixels; first += P, out += P * static_cast<int>(kPanel)) {
    __m512i acc[P][V];
    line_tile<P, V, kLine>(acc, job, first, row);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) _mm512_storeu_si512(out + i * static_cast<int>(kPanel) + v * Simd::kLanes, acc[i][v]);
  }
}

// Windows of 3 every 2 pixels, the first of which begins one pixel before the row: window j has the pixels 2j - 1 to 2j + 1.
template <int P, int V, uint32_t kLine>
void line_maxima(const Int8Maxima& to, const Int8Lines& job, size_t row) {
  const __m512i least = _mm512_set1_epi32(INT32_MIN);
  __m512i carry[V];
  BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) carry[v] = least;
  size_t at = 0;
  for (uint32_t first = 0; first < job.pixels; first += P, at += P / 2 * kPanel) {
    __m512i acc[P][V];
    line_tile<P, V, kLine>(acc, job, first, row);
    if (job.pixels - first < P)  // pixels past the row's end
      BITWRIGHT_UNROLL for (int i = 1; i < P; ++i)
        if (first + static_cast<uint32_t>(i) >= job.pixels)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = least;
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
      BITWRIGHT_UNROLL for (int j = 0; j < P / 2; ++j) {
        const size_t place = at + static_cast<size_t>(j) * kPanel + static_cast<size_t>(v) * Simd::kLanes;
        const __m512i window = _mm512_max_epi32(_mm512_max_epi32(carry[v], acc[2 * j][v]), acc[2 * j + 1][v]);
        carry[v] = acc[2 * j + 1][v];
        if (to.into != nullptr) _mm512_storeu_si512(to.into + place, _mm512_max_epi32(window, _mm512_loadu_si512(to.into + place)));
        if (to.fresh != nullptr) _mm512_storeu_si512(to.fresh + place, window);
      }
    }
  }
}

// run<P, V, kLine>() for the panel's shape: lines of 3 channels and width 3 and 7 have loops of their own.
template <class Run>
BITWRIGHT_INLINE void with_shape(const Int8Lines& job, const Run& run) {
  Header header;
  std::memcpy(&header, job.weights, sizeof header);
  const size_t row = lines_spare(job.taps, job.channels, job.pixels) / 4 / ((job.taps + 3) / 4);
  if (row != 0 && !job.again) collect_last(job, row);
  using std::integral_constant;
  if (header.vectors > 2) {
    switch (dwords(job.taps, job.channels)) {
      case 2: return run(integral_constant<int, 4>(), integral_constant<int, 4>(), integral_constant<uint32_t, 2>(), row);
      case 5: return run(integral_constant<int, 4>(), integral_constant<int, 4>(), integral_constant<uint32_t, 5>(), row);
      default: return run(integral_constant<int, 4>(), integral_constant<int, 4>(), integral_constant<uint32_t, 0>(), row);
    }
  }
  if (header.vectors == 2) return run(integral_constant<int, 8>(), integral_constant<int, 2>(), integral_constant<uint32_t, 0>(), row);
  run(integral_constant<int, 8>(), integral_constant<int, 1>(), integral_constant<uint32_t, 0>(), row);
}

void run_lines(int32_t* out, const Int8Lines& job) {
  with_shape(job, [&](auto p, auto v, auto line, size_t row) { line_row<p(), v(), line()>(out, job, row); });
}

void run_maxima(const Int8Maxima& to, const Int8Lines& job) {
  with_shape(job, [&](auto p, auto v, auto line, size_t row) { line_maxima<p(), v(), line()>(to, job, row); });
}
