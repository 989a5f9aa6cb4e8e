// Depthwise binary convolution, for every instruction set: one accumulator per channel and tap bit, so nothing is summed inside a word. Words of 32
// channels form a block; the tap bits a ^ w of a block are added vertically, bit by bit, into four planes (carry-save), and the planes become
// counts of 16 bits, or are compared with a threshold while they are planes.
// Included by one translation unit per instruction set, inside namespace bitwright and an unnamed namespace, after it has defined `struct Simd`:
//
//   kBlock               words of a block: 16, or a number that divides it
//   V                    a block; zero(), load(const uint32_t*) of a whole aligned block
//   Part(n)              the first n words of a block, 1..kBlock; load(p, part), store(p, part, v) touch no others
//   exclusive, both      v ^ w, v & w
//   full_add(sum, a, b)  sum ^= a ^ b, returns the majority of all three
//   half_add(sum, a)     sum ^= a, returns the old sum & a
//   less(lt, count, bound)  bound > count ? 1 : bound < count ? 0 : lt, bit by bit
//   spread(to, planes, add) counts of 32 channels: to[i] (+)= sum over planes of bit i << plane
//
// Cost of a block with 9 taps: 9 xor, 6 full adders, 2 half adders and 2 more in the planes, 5 bits of the comparison; `spread` of its words is what
// counts in memory cost. Of more than 15 taps, the planes of 15 each are added: 4 half and 3 full adders.

constexpr uint32_t kBlock = Simd::kBlock;

struct Planes {
  Simd::V bit[4];
};

// Taps [tap, end), 1 to 15, of one block.
BITWRIGHT_INLINE Planes add_taps(const DepthwiseRun& r, const uint32_t* a, const uint32_t* w, size_t lanes, uint32_t tap, uint32_t end,
                                 const Simd::Part& part) {
  using V = Simd::V;
  const auto product = [&](uint32_t t) { return Simd::exclusive(Simd::load(a + r.offset[t], part), Simd::load(w + t * lanes)); };
  Planes p;
  const auto two_pairs = [&](uint32_t t, V& two1) {  // returns the second carry
    const V a1 = product(t), b1 = product(t + 1);
    two1 = Simd::full_add(p.bit[0], a1, b1);
    const V a2 = product(t + 2), b2 = product(t + 3);
    return Simd::full_add(p.bit[0], a2, b2);
  };
  p.bit[0] = product(tap++);
  if (tap + 4 <= end) {  // nothing has been carried yet
    V two1;
    const V two2 = two_pairs(tap, two1);
    p.bit[2] = Simd::both(two1, two2);
    p.bit[1] = Simd::exclusive(two1, two2);
    tap += 4;
  } else {
    p.bit[1] = p.bit[2] = Simd::zero();
  }
  p.bit[3] = Simd::zero();
  const auto add_four = [&](const V& four) { p.bit[3] = Simd::exclusive(p.bit[3], Simd::half_add(p.bit[2], four)); };
  for (; tap + 4 <= end; tap += 4) {
    V two1;
    const V two2 = two_pairs(tap, two1);
    add_four(Simd::full_add(p.bit[1], two1, two2));
  }
  if (tap + 2 <= end) {
    const V first = product(tap), second = product(tap + 1);
    add_four(Simd::half_add(p.bit[1], Simd::full_add(p.bit[0], first, second)));
    tap += 2;
  }
  if (tap < end) add_four(Simd::half_add(p.bit[1], Simd::half_add(p.bit[0], product(tap))));
  return p;
}

struct ManyPlanes {
  Simd::V bit[7];
};

// All taps, 16 to kMostDepthwiseTaps, of one block.
BITWRIGHT_INLINE ManyPlanes add_many(const DepthwiseRun& r, const uint32_t* a, const uint32_t* w, size_t lanes, const Simd::Part& part) {
  ManyPlanes sum;
  const Planes first = add_taps(r, a, w, lanes, 0, 15, part);
  BITWRIGHT_UNROLL for (int b = 0; b < 7; ++b) sum.bit[b] = b < 4 ? first.bit[b] : Simd::zero();
  for (uint32_t tap = 15; tap < r.taps; tap += 15) {
    const Planes more = add_taps(r, a, w, lanes, tap, r.taps - tap < 15 ? r.taps : tap + 15, part);
    Simd::V carry = Simd::half_add(sum.bit[0], more.bit[0]);
    BITWRIGHT_UNROLL for (int b = 1; b < 4; ++b) carry = Simd::full_add(sum.bit[b], more.bit[b], carry);
    BITWRIGHT_UNROLL for (int b = 4; b < 7; ++b) carry = Simd::half_add(sum.bit[b], carry);
  }
  return sum;
}

// body(first pixel, first word of the pixel, lane of the pattern, words that are real) for each block of the run: several pixels of few words, or
// part of one pixel.
template <class Body>
BITWRIGHT_INLINE void for_blocks(const DepthwiseRun& r, const Body& body) {
  if (r.words < kBlock) {
    const uint32_t pixels = kBlock / r.words;
    for (uint32_t i = 0; i < r.pixels; i += pixels) body(i, 0u, 0u, (r.pixels - i < pixels ? r.pixels - i : pixels) * r.words);
    return;
  }
  for (uint32_t i = 0; i < r.pixels; ++i)
    for (uint32_t word = 0; word < r.words; word += kBlock) body(i, word, word, r.words - word < kBlock ? r.words - word : kBlock);
}

inline void count16(uint16_t* counts, size_t stride, const DepthwiseRun& r) {
  const size_t lanes = depthwise_lanes(r.words);
  for_blocks(r, [&](uint32_t pixel, uint32_t word, uint32_t lane, uint32_t n) {
    const Simd::Part part(n);
    for (uint32_t tap = 0; tap < r.taps; tap += 15) {
      const uint32_t end = r.taps - tap < 15 ? r.taps : tap + 15;
      const Planes p = add_taps(r, r.base + static_cast<size_t>(pixel) * r.words + word, r.weights + lane, lanes, tap, end, part);
      alignas(64) uint32_t planes[4][kBlock];
      for (int b = 0; b < 4; ++b) Simd::store(planes[b], Simd::Part(kBlock), p.bit[b]);
      uint16_t* row = counts + pixel * stride + static_cast<size_t>(word) * 32;
      for (uint32_t k = 0, in_pixel = 0; k < n; ++k, ++in_pixel) {
        if (in_pixel == r.words) in_pixel = 0, row += stride;
        const uint32_t of_word[4] = {planes[0][k], planes[1][k], planes[2][k], planes[3][k]};
        Simd::spread(row + static_cast<size_t>(in_pixel) * 32, of_word, tap != 0);
      }
    }
  });
}

inline void bits(uint32_t* out, size_t stride, const DepthwiseRun& r, const DepthwiseBits& b) {
  using V = Simd::V;
  const size_t lanes = depthwise_lanes(r.words);
  const size_t planes = depthwise_planes(r.taps);
  const uint32_t* bound_of = b.bound_of;
  for_blocks(r, [&](uint32_t pixel, uint32_t word, uint32_t lane, uint32_t n) {
    const Simd::Part part(n);
    const uint32_t* bound = b.bound + lane + (bound_of ? size_t{*bound_of++} * planes * lanes : 0);
    const uint32_t* a = r.base + static_cast<size_t>(pixel) * r.words + word;
    V lt = Simd::zero();
    const auto compare = [&](const V* count, size_t bits) {
      for (size_t plane = 0; plane < bits; ++plane) lt = Simd::less(lt, count[plane], Simd::load(bound + plane * lanes));
      lt = Simd::less(lt, Simd::zero(), Simd::load(bound + bits * lanes));
    };
    if (r.taps <= 15) {
      compare(add_taps(r, a, r.weights + lane, lanes, 0, r.taps, part).bit, 4);
    } else {
      compare(add_many(r, a, r.weights + lane, lanes, part).bit, 7);
    }
    const V result = Simd::both(Simd::exclusive(lt, Simd::load(b.flip + lane)), Simd::load(b.real + lane));
    uint32_t* to = out + pixel * stride + word;
    if (stride == r.words || n <= r.words - word) return Simd::store(to, part, result);
    alignas(64) uint32_t words[kBlock];  // the pixels of the value lie apart
    Simd::store(words, Simd::Part(kBlock), result);
    for (uint32_t k = 0; k < n; ++k) to[k / r.words * stride + k % r.words] = words[k];
  });
}
