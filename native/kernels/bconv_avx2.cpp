// Binary convolution for AVX2: nibble tables (nibble_table.h).
//
// The row of an activation's nibble is broadcast from memory, the nibbles of 32 channels' weights index it by vpshufb. Lane = output channel in 8
// bits, tile 4 pixels x 64 channels: 8 ymm accumulators of byte sums, which hold 7 words (56 nibbles of at most 4) and are then widened into 16-bit
// sums in L1.
//
// Cost per 128 MAC (one nibble of 32 channels): vpshufb + vpaddb, and half of (vbroadcasti128 load + half of a byte load and shift).
//   Intel before Ice Lake (analysis): one shuffle port, 128 MAC/cycle. Ice Lake and later, Zen: two shuffle ports, front-end bound at about 200.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts, ResNet-18's 3x3 layers): 620 to 710 GMAC/s, 175 to 195 MAC/cycle.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_AVX2

#include <immintrin.h>

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 64;
constexpr uint32_t kPixels = 4;
constexpr int kVectors = kPanel / 32;
constexpr size_t kWordBytes = 4 * 2 * kPanel;  // of one (tap, word) in a panel
constexpr uint32_t kRoom = 7;                  // words until a byte sum could exceed 255
constexpr uint32_t kMaxWords = 65535 / 32;     // words whose count surely fits 16 bits

#include "nibble_table.h"

size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

// acc += table row looked up by the weights' nibbles. Inline assembly keeps the accumulators in their registers.
BITWRIGHT_INLINE void add_lookup(__m256i& acc, __m256i row, __m256i w) {
#if BITWRIGHT_GNU_ASM
  __m256i t;
  __asm__("vpshufb %2, %3, %1\n\tvpaddb %1, %0, %0" : "+x"(acc), "=&x"(t) : "x"(w), "x"(row));
#else
  acc = _mm256_add_epi8(acc, _mm256_shuffle_epi8(row, w));
#endif
}

BITWRIGHT_INLINE __m256i broadcast_row(const uint8_t* row) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
}

// A stretch of a tile: `total` words beginning with word `first` of tap `tap`, weights at `w`.
struct Stretch {
  uint32_t tap, first, total;
  const uint8_t* w;
};

// sums[i][v][0..1]: 16-bit sums of channels 32v..32v+15 and 32v+16..32v+31 of pixel i.
template <int P>
BITWRIGHT_INLINE void count(__m256i (&sums)[P][kVectors][2], const BinaryTile& tile, Stretch s) {
  for (int i = 0; i < P; ++i)
    for (int v = 0; v < kVectors; ++v) sums[i][v][0] = sums[i][v][1] = _mm256_setzero_si256();
  while (s.total > 0) {
    __m256i acc[P][kVectors];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = _mm256_setzero_si256();
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
        __m256i low[kVectors], high[kVectors];
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
          low[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.w + 32 * v));
          high[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(s.w + kPanel + 32 * v));
        }
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
          const uint8_t* rows = table.rows[a[i][k]][0];
          const __m256i row_low = broadcast_row(rows);
          BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[i][v], row_low, low[v]);
          const __m256i row_high = broadcast_row(rows + 16);
          BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_lookup(acc[i][v], row_high, high[v]);
        }
      }
    }
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
        sums[i][v][0] = _mm256_add_epi16(sums[i][v][0], _mm256_cvtepu8_epi16(_mm256_castsi256_si128(acc[i][v])));
        sums[i][v][1] = _mm256_add_epi16(sums[i][v][1], _mm256_cvtepu8_epi16(_mm256_extracti128_si256(acc[i][v], 1)));
      }
  }
}

template <int P>
void tile16(uint16_t* counts, const BinaryTile& tile) {
  __m256i sums[P][kVectors][2];
  count<P>(sums, tile, {0, 0, tile.taps * tile.words, static_cast<const uint8_t*>(tile.weights)});
  for (int i = 0; i < P; ++i)
    for (int v = 0; v < kVectors; ++v)
      for (int h = 0; h < 2; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts + i * kPanel + 32 * v + 16 * h), sums[i][v][h]);
}

template <int P>
void tile32(uint32_t* counts, const BinaryTile& tile) {
  for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] = 0;
  const uint64_t total = static_cast<uint64_t>(tile.taps) * tile.words;
  for (uint64_t done = 0; done < total; done += kMaxWords) {
    const uint32_t words = total - done < kMaxWords ? static_cast<uint32_t>(total - done) : kMaxWords;
    __m256i sums[P][kVectors][2];
    count<P>(sums, tile, {static_cast<uint32_t>(done / tile.words), static_cast<uint32_t>(done % tile.words), words,
                          static_cast<const uint8_t*>(tile.weights) + done * kWordBytes});
    alignas(32) uint16_t part[P * kPanel];
    for (int i = 0; i < P; ++i)
      for (int v = 0; v < kVectors; ++v)
        for (int h = 0; h < 2; ++h) _mm256_store_si256(reinterpret_cast<__m256i*>(part + i * kPanel + 32 * v + 16 * h), sums[i][v][h]);
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
    "bconv_avx2", "avx2", "nibble tables by vpshufb, channels in 8-bit lanes, tile 4x64",
    kRankAvx2, supports_avx2, kPanel, kPixels, panel_bytes, pack_nibbles<kPanel>, count16, count32,
};

}  // namespace

const BinaryKernel* const bconv_avx2 = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_avx2 = nullptr;
}  // namespace bitwright

#endif
