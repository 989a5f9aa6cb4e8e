// The binary convolution of AArch64: lane = output channel in 32 bits, tile 3 pixels x 32 channels: 24 accumulators, 3 registers of activations,
// and one of weights at a time. Included by one translation unit per instruction set, inside namespace bitwright and an unnamed namespace, after
// it has defined
//
//   Acc, zero()          a vector that counts the bits of 4 channels, over at most kRoom words
//   add_ones(acc, ones)  acc += the numbers of bits in 16 bytes
//   Sums<Count>          what accumulators are added to when kRoom words are full: add(sums, acc)
//   store8(counts, l, h) 8 counts of 16 or 32 bits from the accumulators or sums of 8 channels
//
// Every activation word is broadcast once for 8 registers of weights (ld1r, which costs most cores a SIMD operation): that is 1 operation in 25.
// A tile of up to kPixels pixels is cut into pieces of 3, 2 and 1 while its panel of weights is in L1.

constexpr uint32_t kPanel = 32;
constexpr uint32_t kPixels = 12;
constexpr int kVectors = kPanel / 4;
constexpr size_t kWordBytes = kPanel * sizeof(uint32_t);  // of one (tap, word) in a panel

size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

// [taps*words][32 channels] words of 32 bits.
void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = static_cast<size_t>(taps) * words;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  uint32_t* to = static_cast<uint32_t*>(panels);
  for (uint32_t panel = 0; panel < count; ++panel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t lane = 0; lane < kPanel; ++lane) {
        const uint32_t channel = panel * kPanel + lane;
        *to++ = channel < outputs ? weights[channel * steps + k] : 0;
      }
}

// The inner loop, instruction by instruction. With intrinsics gcc 12 hoists the loads of weights until accumulators spill; volatile assembly keeps
// the order of the source.
#if BITWRIGHT_GNU_ASM
// One word in all lanes; the post-increment saves an addition per pixel and word.
BITWRIGHT_INLINE uint32x4_t broadcast_next(const uint32_t*& a) {
  uint32x4_t x;
  __asm__ volatile("ld1r {%0.4s}, [%1], #4" : "=w"(x), "+r"(a) : "m"(*a));
  return x;
}
BITWRIGHT_INLINE void load_next(uint32x4_t (&two)[2], const uint32_t*& w) {
  __asm__ volatile("ldp %q0, %q1, [%2], #32" : "=&w"(two[0]), "=&w"(two[1]), "+r"(w) : "m"(*reinterpret_cast<const uint32_t(*)[8]>(w)));
}
BITWRIGHT_INLINE uint8x16_t differing(uint32x4_t a, uint32x4_t w) {
  uint8x16_t x;
  __asm__ volatile("eor %0.16b, %1.16b, %2.16b" : "=w"(x) : "w"(a), "w"(w));
  return x;
}
BITWRIGHT_INLINE uint8x16_t ones_of(uint8x16_t x) {
  __asm__ volatile("cnt %0.16b, %0.16b" : "+w"(x));
  return x;
}
#else
BITWRIGHT_INLINE uint32x4_t broadcast_next(const uint32_t*& a) { return vld1q_dup_u32(a++); }
BITWRIGHT_INLINE void load_next(uint32x4_t (&two)[2], const uint32_t*& w) {
  two[0] = vld1q_u32(w);
  two[1] = vld1q_u32(w + 4);
  w += 8;
}
BITWRIGHT_INLINE uint8x16_t differing(uint32x4_t a, uint32x4_t w) { return vreinterpretq_u8_u32(veorq_u32(a, w)); }
BITWRIGHT_INLINE uint8x16_t ones_of(uint8x16_t x) { return vcntq_u8(x); }
#endif

// Counts `words` words of every pixel from a[] on; returns the weights behind.
template <int P>
BITWRIGHT_INLINE const uint32_t* count_words(Acc (&acc)[P][kVectors], const uint32_t* (&a)[P], const uint32_t* w, size_t words) {
  do {
    uint32x4_t x[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) x[i] = broadcast_next(a[i]);
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; v += 2) {
      uint32x4_t two[2];
      load_next(two, w);
      BITWRIGHT_UNROLL for (int h = 0; h < 2; ++h) {
        uint8x16_t t[P];
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) t[i] = differing(x[i], two[h]);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) t[i] = ones_of(t[i]);
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) add_ones(acc[i][v + h], t[i]);
      }
    }
  } while (--words != 0);
  return w;
}

template <int P>
BITWRIGHT_INLINE void clear(Acc (&acc)[P][kVectors]) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = zero();
}

template <class Count, class Any>
BITWRIGHT_INLINE void store(Count* counts, const Any (&sums)[kVectors]) {
  BITWRIGHT_UNROLL for (int v = 0; v < kVectors; v += 2) store8(counts + 4 * v, sums[v], sums[v + 1]);
}

// Some pixels of a tile.
struct Piece {
  const uint32_t* const* base;
  const int32_t* const* offset;
};

// All words fit the accumulators.
template <int P, class Count>
void short_piece(Count* counts, const Piece& piece, const BinaryTile& tile) {
  Acc acc[P][kVectors];
  clear<P>(acc);
  const uint32_t* w = static_cast<const uint32_t*>(tile.weights);
  for (size_t tap = 0; tap < tile.taps; ++tap) {
    const uint32_t* a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = piece.base[i] + piece.offset[i][tap];
    w = count_words<P>(acc, a, w, tile.words);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) store(counts + i * static_cast<int>(kPanel), acc[i]);
}

// More than that: the accumulators are emptied into sums every kRoom words, wherever in a tap that is.
template <int P, class Count>
void long_piece(Count* counts, const Piece& piece, const BinaryTile& tile) {
  Sums<Count> sums[P][kVectors] = {};
  const uint32_t* w = static_cast<const uint32_t*>(tile.weights);
  size_t tap = 0, first = 0;
  for (size_t left = static_cast<size_t>(tile.taps) * tile.words; left > 0;) {
    Acc acc[P][kVectors];
    clear<P>(acc);
    size_t room = left < kRoom ? left : kRoom;
    left -= room;
    while (room > 0) {
      const uint32_t* a[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = piece.base[i] + piece.offset[i][tap] + first;
      size_t words = tile.words - first;
      if (words > room) words = room;
      w = count_words<P>(acc, a, w, words);
      room -= words;
      first += words;
      if (first == tile.words) first = 0, ++tap;
    }
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) sums[i][v] = add(sums[i][v], acc[i][v]);
  }
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) store(counts + i * static_cast<int>(kPanel), sums[i]);
}

template <int P, class Count>
BITWRIGHT_INLINE void piece(Count* counts, const Piece& from, const BinaryTile& tile) {
  if constexpr (kRoom != UINT32_MAX) {
    if (static_cast<uint64_t>(tile.taps) * tile.words > kRoom) return long_piece<P>(counts, from, tile);
  }
  short_piece<P>(counts, from, tile);
}

template <class Count>
void count(Count* counts, const BinaryTile& tile) {
  for (uint32_t i = 0; i < tile.pixels;) {
    const Piece from{tile.base + i, tile.offset + i};
    Count* to = counts + static_cast<size_t>(i) * kPanel;
    const uint32_t left = tile.pixels - i;
    if (left > 4 || left == 3) {
      piece<3>(to, from, tile);
      i += 3;
    } else if (left > 1) {  // 4 are 2 + 2
      piece<2>(to, from, tile);
      i += 2;
    } else {
      piece<1>(to, from, tile);
      i += 1;
    }
  }
}
