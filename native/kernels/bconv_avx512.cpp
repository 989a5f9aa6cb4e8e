// Binary convolution for AVX-512 F and BW without a vector popcount (Skylake-X, Cascade Lake): carry-save addition by VPTERNLOG.
//
// Lane = output channel in 32 bits, tile 4 pixels x 64 channels, 16 channels at a time. Eight words a ^ w are added bit by bit into planes of ones,
// twos and fours by full adders of two VPTERNLOG each (xor of three, majority), and only the eights are counted, by the vpshufb table.
// The activations of a tile are first copied together, so that groups of eight run across taps. What remains at the end is padded to a group with
// zero words, or, if it is three words or fewer, counted word by word.
//
// Weights of a panel: [4][words of all taps, rounded up to 8][16 channels] of 32 bits.
//
// Cost per 512 MAC: vpxord + 14/8 vpternlogd + 7/8 for the eights = 3.6 operations.
//   Skylake-X (analysis): ports 0 and 5, 1.8 cycles, 280 MAC/cycle; the nibble table of bconv_avx2 is bound to 128 by the one shuffle port.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts, ResNet-18's 3x3 layers): 660 GMAC/s at 64 channels (185 MAC/cycle)
// to 1,180 at 512 (320 MAC/cycle).
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_AVX512

#include <immintrin.h>

#include "pack_panels.h"

namespace bitwright {
namespace {

using Z = __m512i;
constexpr uint32_t kPanel = 64;
constexpr uint32_t kPixels = 4;
constexpr uint32_t kLanes = 16;
constexpr uint32_t kVectors = kPanel / kLanes;
constexpr uint32_t kGroup = 8;
constexpr uint32_t kStretch = 31 * kGroup;  // words until a byte sum of eights could exceed 255
constexpr uint32_t kSingles = 3;            // this many words at the end are counted one by one

uint32_t padded(uint64_t steps) { return static_cast<uint32_t>((steps + kGroup - 1) / kGroup * kGroup); }

size_t panel_bytes(uint32_t taps, uint32_t words) {
  return static_cast<size_t>(padded(static_cast<uint64_t>(taps) * words)) * kPanel * sizeof(uint32_t);
}

void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = static_cast<size_t>(taps) * words;
  const uint32_t vectors = (outputs + kPanel - 1) / kPanel * kVectors;  // each lies like a panel of its own
  pack_panels<kLanes>(static_cast<uint32_t*>(panels), vectors, weights, outputs, steps, padded(steps), [](uint32_t lane) { return lane; });
}

// Counts of each byte.
BITWRIGHT_INLINE Z popcount8(Z x) {
  const Z table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const Z low = _mm512_set1_epi8(15);
  return _mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(x, low)),
                         _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), low)));
}

// sum + 2 * carry = sum + a + b, bit by bit; the carry is returned.
BITWRIGHT_INLINE Z full_add(Z& sum, Z a, Z b) {
  const Z carry = _mm512_ternarylogic_epi32(sum, a, b, 0xe8);  // majority
  sum = _mm512_ternarylogic_epi32(sum, a, b, 0x96);            // xor
  return carry;
}

struct Planes {
  Z ones, twos, fours;
  Z eights;  // byte sums of the eights plane
};

BITWRIGHT_INLINE Z differ(const uint32_t* a, Z w) { return _mm512_xor_si512(_mm512_set1_epi32(static_cast<int32_t>(*a)), w); }

BITWRIGHT_INLINE void add_group(Planes& p, const uint32_t* a, const Z (&w)[kGroup]) {
  Z twos_a = full_add(p.ones, differ(a, w[0]), differ(a + 1, w[1]));
  Z twos_b = full_add(p.ones, differ(a + 2, w[2]), differ(a + 3, w[3]));
  const Z fours_a = full_add(p.twos, twos_a, twos_b);
  twos_a = full_add(p.ones, differ(a + 4, w[4]), differ(a + 5, w[5]));
  twos_b = full_add(p.ones, differ(a + 6, w[6]), differ(a + 7, w[7]));
  const Z fours_b = full_add(p.twos, twos_a, twos_b);
  p.eights = _mm512_add_epi8(p.eights, popcount8(full_add(p.fours, fours_a, fours_b)));
}

// Sums of 32-bit lanes: everything in the planes, and byte sums `singles`.
BITWRIGHT_INLINE Z total(const Planes& p, Z singles) {
  const Z twos = popcount8(p.twos), fours = popcount8(p.fours);
  const Z low = _mm512_add_epi8(_mm512_add_epi8(popcount8(p.ones), singles), _mm512_add_epi8(twos, twos));
  const Z four = _mm512_add_epi8(fours, fours);
  const Z bytes = _mm512_add_epi8(low, _mm512_add_epi8(four, four));  // at most 8 * 7 + 8 * kSingles
  const Z pairs = _mm512_add_epi16(_mm512_maddubs_epi16(bytes, _mm512_set1_epi8(1)), _mm512_maddubs_epi16(p.eights, _mm512_set1_epi8(8)));
  return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

// `words` words (at most kStretch) of P pixels, gathered in `a` with rows of kStretch words and zeros behind the end, against one vector of channels.
template <int P>
BITWRIGHT_INLINE void count_vector(Z (&sums)[P], const uint32_t* a, const uint32_t* w, uint32_t words) {
  Planes planes[P];
  Z singles[P];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
    planes[i].ones = planes[i].twos = planes[i].fours = planes[i].eights = _mm512_setzero_si512();
    singles[i] = _mm512_setzero_si512();
  }
  const uint32_t grouped = words % kGroup > kSingles ? padded(words) : words / kGroup * kGroup;
  uint32_t k = 0;
  for (; k < grouped; k += kGroup, w += kGroup * kLanes) {
    Z b[kGroup];
    BITWRIGHT_UNROLL for (uint32_t j = 0; j < kGroup; ++j) b[j] = _mm512_load_si512(w + j * kLanes);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) add_group(planes[i], a + i * kStretch + k, b);
  }
  for (; k < words; ++k, w += kLanes) {
    const Z b = _mm512_load_si512(w);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) singles[i] = _mm512_add_epi8(singles[i], popcount8(differ(a + i * kStretch + k, b)));
  }
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) sums[i] = total(planes[i], singles[i]);
}

// Copies the next words of every pixel's taps together; (tap, first) is where it begins and, afterwards, ends.
template <int P>
void gather(uint32_t* a, const BinaryTile& tile, uint32_t& tap, uint32_t& first, uint32_t words) {
  uint32_t done = 0;
  while (done < words) {
    uint32_t n = tile.words - first;
    if (n > words - done) n = words - done;
    for (int i = 0; i < P; ++i) {
      const uint32_t* from = tile.base[i] + tile.offset[i][tap] + first;
      uint32_t* to = a + i * static_cast<int>(kStretch) + done;
      for (uint32_t k = 0; k < n; ++k) to[k] = from[k];
    }
    done += n;
    first += n;
    if (first == tile.words) first = 0, ++tap;
  }
  for (int i = 0; i < P; ++i)
    for (uint32_t k = words; k < padded(words); ++k) a[i * static_cast<int>(kStretch) + k] = 0;
}

BITWRIGHT_INLINE void store(uint32_t* to, Z sums, bool add) {
  _mm512_storeu_si512(to, add ? _mm512_add_epi32(sums, _mm512_loadu_si512(to)) : sums);
}

BITWRIGHT_INLINE void store(uint16_t* to, Z sums, bool add) {
  __m256i* p = reinterpret_cast<__m256i*>(to);
  const __m256i narrow = _mm512_cvtepi32_epi16(sums);
  _mm256_storeu_si256(p, add ? _mm256_add_epi16(narrow, _mm256_loadu_si256(p)) : narrow);
}

template <int P, class Count>
void count_tile(Count* counts, const BinaryTile& tile) {
  const uint64_t steps = static_cast<uint64_t>(tile.taps) * tile.words;
  const size_t vector_words = static_cast<size_t>(padded(steps)) * kLanes;
  alignas(64) uint32_t a[P * kStretch];
  uint32_t tap = 0, first = 0;
  for (uint64_t done = 0; done < steps; done += kStretch) {
    const uint32_t words = steps - done < kStretch ? static_cast<uint32_t>(steps - done) : kStretch;
    gather<P>(a, tile, tap, first, words);
    for (uint32_t v = 0; v < kVectors; ++v) {
      Z sums[P];
      count_vector<P>(sums, a, static_cast<const uint32_t*>(tile.weights) + v * vector_words + done * kLanes, words);
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) store(counts + static_cast<uint32_t>(i) * kPanel + v * kLanes, sums[i], done != 0);
    }
  }
}

template <class Count>
void count(Count* counts, const BinaryTile& tile) {
  switch (tile.pixels) {
    case 1: return count_tile<1>(counts, tile);
    case 2: return count_tile<2>(counts, tile);
    case 3: return count_tile<3>(counts, tile);
    default: return count_tile<4>(counts, tile);
  }
}

const BinaryKernel kernel = {
    "bconv_avx512", "avx512", "carry-save addition by vpternlog, channels in 32-bit lanes, tile 4x64",
    kRankAvx512, supports_avx512, kPanel, kPixels, panel_bytes, pack, count<uint16_t>, count<uint32_t>,
};

}  // namespace

const BinaryKernel* const bconv_avx512 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_avx512 = nullptr;
}  // namespace bitwright

#endif
