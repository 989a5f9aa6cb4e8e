// Binary convolution for x86-64 without AVX2 (Nehalem to Ivy Bridge, Atoms): nibble tables (nibble_table.h).
//
// As bconv_avx2 with half the width: lane = output channel in 8 bits, tile 4 pixels x 32 channels, 8 xmm accumulators of byte sums.
//
// Cost per 64 MAC: movdqa (the row, from L1), pshufb, paddb. Intel before Haswell: two shuffle ports and a front end of four, about 75 MAC/cycle.
// The alternative, popcnt of 64 bits in general registers (tile 2x4: load, xor, popcnt, add), is bound by one popcnt a cycle on Intel, 64 MAC/cycle,
// and was slower on Zen 5 too: 140 to 235 GMAC/s where this kernel makes 235 to 300 (both measured in turn, ResNet-18's 3x3 layers).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts): 235 to 300 GMAC/s, 64 to 82 MAC/cycle.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_SSE42

#include <nmmintrin.h>

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 32;
constexpr uint32_t kPixels = 4;
constexpr int kVectors = kPanel / 16;
constexpr size_t kWordBytes = 4 * 2 * kPanel;  // of one (tap, word) in a panel
constexpr uint32_t kRoom = 7;                  // words until a byte sum could exceed 255
constexpr uint32_t kMaxWords = 65535 / 32;     // words whose count surely fits 16 bits

#include "nibble_table.h"

size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

// acc += table row looked up by the weights' nibbles. Inline assembly so that loading the row is the copy that pshufb overwrites.
BITWRIGHT_INLINE void add_lookup(__m128i& acc, const uint8_t* row, __m128i w) {
  const __m128i* table_row = reinterpret_cast<const __m128i*>(row);
#if BITWRIGHT_GNU_ASM
  __m128i t;
  __asm__("movdqa %2, %1\n\tpshufb %3, %1\n\tpaddb %1, %0" : "+x"(acc), "=&x"(t) : "m"(*table_row), "x"(w));
#else
  acc = _mm_add_epi8(acc, _mm_shuffle_epi8(_mm_load_si128(table_row), w));
#endif
}

// A stretch of a tile: `total` words beginning with word `first` of tap `tap`, weights at `w`.
struct Stretch {
  uint32_t tap, first, total;
  const uint8_t* w;
};

// sums[i][v][0..1]: 16-bit sums of channels 16v..16v+7 and 16v+8..16v+15 of pixel i.
template <int P>
BITWRIGHT_INLINE void count(__m128i (&sums)[P][kVectors][2], const BinaryTile& tile, Stretch s) {
  for (int i = 0; i < P; ++i)
    for (int v = 0; v < kVectors; ++v) sums[i][v][0] = sums[i][v][1] = _mm_setzero_si128();
  while (s.total > 0) {
    __m128i acc[P][kVectors];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = _mm_setzero_si128();
    uint32_t room = s.total < kRoom ? s.total : kRoom;
    s.total -= room;
    while (room > 0) {
      const uint8_t* a[P];
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
        a[i] = reinterpret_cast<const uint8_t*>(tile.base[i] + tile.offset[i][s.tap] + s.first);
      uint32_t words = tile.words - s.first;
      if (words > room) words = room;
      room -= words;
      s.first += words;
      if (s.first == tile.words) s.first = 0, ++s.tap;
      for (size_t k = 0; k < 4 * static_cast<size_t>(words); ++k, s.w += 2 * kPanel) {
        __m128i low[kVectors], high[kVectors];
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
          low[v] = _mm_load_si128(reinterpret_cast<const __m128i*>(s.w + 16 * v));
          high[v] = _mm_load_si128(reinterpret_cast<const __m128i*>(s.w + kPanel + 16 * v));
        }
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
          const uint8_t* rows = table.rows[a[i][k]][0];
          BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[i][v], rows, low[v]);
          BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[i][v], rows + 16, high[v]);
        }
      }
    }
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
        sums[i][v][0] = _mm_add_epi16(sums[i][v][0], _mm_cvtepu8_epi16(acc[i][v]));
        sums[i][v][1] = _mm_add_epi16(sums[i][v][1], _mm_unpackhi_epi8(acc[i][v], _mm_setzero_si128()));
      }
  }
}

template <int P>
void tile16(uint16_t* counts, const BinaryTile& tile) {
  __m128i sums[P][kVectors][2];
  count<P>(sums, tile, {0, 0, tile.taps * tile.words, static_cast<const uint8_t*>(tile.weights)});
  for (int i = 0; i < P; ++i)
    for (int v = 0; v < kVectors; ++v)
      for (int h = 0; h < 2; ++h) _mm_storeu_si128(reinterpret_cast<__m128i*>(counts + i * kPanel + 16 * v + 8 * h), sums[i][v][h]);
}

template <int P>
void tile32(uint32_t* counts, const BinaryTile& tile) {
  for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] = 0;
  const uint64_t total = static_cast<uint64_t>(tile.taps) * tile.words;
  for (uint64_t done = 0; done < total; done += kMaxWords) {
    const uint32_t words = total - done < kMaxWords ? static_cast<uint32_t>(total - done) : kMaxWords;
    __m128i sums[P][kVectors][2];
    count<P>(sums, tile, {static_cast<uint32_t>(done / tile.words), static_cast<uint32_t>(done % tile.words), words,
                          static_cast<const uint8_t*>(tile.weights) + done * kWordBytes});
    alignas(16) uint16_t part[P * kPanel];
    for (int i = 0; i < P; ++i)
      for (int v = 0; v < kVectors; ++v)
        for (int h = 0; h < 2; ++h) _mm_store_si128(reinterpret_cast<__m128i*>(part + i * kPanel + 16 * v + 8 * h), sums[i][v][h]);
    for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] += part[j];
  }
}

void count16(uint16_t* counts, const BinaryTile& tile) {
  switch (tile.pixels) {
    case 1: return tile16<1>(counts, tile);
    case 2: return tile16<2>(counts, tile);
    case 3: return tile16<3>(counts, tile);
    default: return tile16<4>(counts, tile);
  }
}

void count32(uint32_t* counts, const BinaryTile& tile) {
  switch (tile.pixels) {
    case 1: return tile32<1>(counts, tile);
    case 2: return tile32<2>(counts, tile);
    case 3: return tile32<3>(counts, tile);
    default: return tile32<4>(counts, tile);
  }
}

const BinaryKernel kernel = {
    "bconv_sse42", "sse42", "nibble tables by pshufb, channels in 8-bit lanes, tile 4x32",
    kRankSse42, supports_sse42, kPanel, kPixels, panel_bytes, pack_nibbles<kPanel>, count16, count32,
};

}  // namespace

const BinaryKernel* const bconv_sse42 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_sse42 = nullptr;
}  // namespace bitwright

#endif
