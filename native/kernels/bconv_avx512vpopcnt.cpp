// Binary convolution for AVX-512 with VPOPCNTDQ and BITALG (Ice Lake and later, Zen 4 and later).
//
// Lane = output channel in 16 bits, tile 7 pixels x 64 channels: 14 zmm accumulators. No horizontal sum, no im2col, K padded only to 32.
// 16-bit lanes hold any count up to 65535; count32 runs the same loop on stretches that cannot overflow and widens between them.
//
// Activations come as 32-bit words. One word is broadcast to all dword lanes, so even 16-bit lanes see its low half and odd lanes its high half;
// rotating the dwords by 16 gives each lane the other half. The weights are packed in that order (see pack), so that both halves meet their
// channel without a 16-bit broadcast, which costs Intel a shuffle-port operation (port 5, where vpopcntw lives too).
//
// Cost per 512 MAC: vpxord + vpopcntw + vpaddw, and 1/4 of (broadcast load + vprold) at 2 registers of channels.
//   Intel (analysis): 512-bit operations on ports 0 and 5, vpopcntw on 5 only: 1.63 cycles, about 315 MAC/cycle.
//   Zen 4 (analysis): four 256-bit pipes, vpopcntw on two: 1.5 cycles, 341 MAC/cycle.
//   Zen 5: vpopcntw twice a cycle; xor + popcount + add alone ran at 686 MAC/cycle (measured issue rate).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts, ResNet-18's 3x3 layers): 1,830 to 2,150 GMAC/s, 510 to 590 MAC/cycle.
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_AVX512VPOPCNT

#include <immintrin.h>

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 64;
constexpr uint32_t kPixels = 7;
constexpr int kVectors = kPanel / 32;
constexpr size_t kWordBytes = kPanel * sizeof(uint32_t);  // of one (tap, word) in a panel
constexpr uint32_t kMaxWords = 65535 / 32;                // words whose count surely fits 16 bits

size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

// For each (tap, word): first pass [64 channels], second pass [64 channels], 16 bits each. Lane l of the first pass holds half (l & 1) of channel
// l's word, of the second pass the other half.
void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = static_cast<size_t>(taps) * words;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  uint16_t* to = static_cast<uint16_t*>(panels);
  for (uint32_t panel = 0; panel < count; ++panel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t pass = 0; pass < 2; ++pass)
        for (uint32_t lane = 0; lane < kPanel; ++lane) {
          const uint32_t channel = panel * kPanel + lane;
          const uint32_t word = channel < outputs ? weights[channel * steps + k] : 0;
          *to++ = static_cast<uint16_t>(((lane & 1) ^ pass) != 0 ? word >> 16 : word);
        }
}

// acc += popcount(a ^ w) in 16-bit lanes. Inline assembly because gcc 12 moves accumulators between registers around the intrinsics.
BITWRIGHT_INLINE void add_popcount(__m512i& acc, __m512i a, __m512i w) {
#if BITWRIGHT_GNU_ASM
  __m512i t;
  __asm__("vpxord %2, %3, %1\n\tvpopcntw %1, %1\n\tvpaddw %1, %0, %0" : "+v"(acc), "=&v"(t) : "v"(a), "v"(w));
#else
  acc = _mm512_add_epi16(acc, _mm512_popcnt_epi16(_mm512_xor_si512(a, w)));
#endif
}

// A stretch of a tile that is contiguous in the weights: all words of some taps, or some words of one tap.
struct Stretch {
  uint32_t tap, tap_end;  // taps [tap, tap_end)
  uint32_t first, words;  // of each, words [first, first + words)
  const char* w;
};

template <int P>
BITWRIGHT_INLINE void count(__m512i (&acc)[P][kVectors], const BinaryTile& tile, const Stretch& s) {
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) acc[i][v] = _mm512_setzero_si512();
  const char* w = s.w;
  for (uint32_t tap = s.tap; tap < s.tap_end; ++tap) {
    const uint32_t* a[P];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = tile.base[i] + tile.offset[i][tap] + s.first;
    for (size_t k = 0; k < s.words; ++k, w += kWordBytes) {
      __m512i lo[kVectors], hi[kVectors];
      BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
        lo[v] = _mm512_load_si512(w + 64 * v);
        hi[v] = _mm512_load_si512(w + 64 * (kVectors + v));
      }
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
        __m512i x = _mm512_set1_epi32(static_cast<int32_t>(a[i][k]));
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_popcount(acc[i][v], x, lo[v]);
        x = _mm512_rol_epi32(x, 16);
        BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) add_popcount(acc[i][v], x, hi[v]);
      }
    }
  }
}

template <int P>
void tile16(uint16_t* counts, const BinaryTile& tile) {
  __m512i acc[P][kVectors];
  count<P>(acc, tile, {0, tile.taps, 0, tile.words, static_cast<const char*>(tile.weights)});
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(counts + i * kPanel + 32 * v, acc[i][v]);
}

template <int P>
void add_stretch32(uint32_t* counts, const BinaryTile& tile, const Stretch& s) {
  __m512i acc[P][kVectors];
  count<P>(acc, tile, s);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < kVectors; ++v) {
      uint32_t* to = counts + i * kPanel + 32 * v;
      const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(acc[i][v]));
      const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(acc[i][v], 1));
      _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), low));
      _mm512_storeu_si512(to + 16, _mm512_add_epi32(_mm512_loadu_si512(to + 16), high));
    }
}

template <int P>
void tile32(uint32_t* counts, const BinaryTile& tile) {
  for (uint32_t j = 0; j < P * kPanel; ++j) counts[j] = 0;
  const char* w = static_cast<const char*>(tile.weights);
  if (tile.words <= kMaxWords) {  // several taps at a time
    const uint32_t taps = kMaxWords / (tile.words != 0 ? tile.words : 1);
    for (uint32_t tap = 0; tap < tile.taps; tap += taps) {
      const uint32_t end = tile.taps - tap < taps ? tile.taps : tap + taps;
      add_stretch32<P>(counts, tile, {tap, end, 0, tile.words, w + static_cast<size_t>(tap) * tile.words * kWordBytes});
    }
    return;
  }
  for (uint32_t tap = 0; tap < tile.taps; ++tap)  // parts of a tap
    for (uint32_t first = 0; first < tile.words; first += kMaxWords) {
      const uint32_t words = tile.words - first < kMaxWords ? tile.words - first : kMaxWords;
      add_stretch32<P>(counts, tile, {tap, tap + 1, first, words, w + (static_cast<size_t>(tap) * tile.words + first) * kWordBytes});
    }
}

void count16(uint16_t* counts, const BinaryTile& tile) {
  switch (tile.pixels) {
    case 1: return tile16<1>(counts, tile);
    case 2: return tile16<2>(counts, tile);
    case 3: return tile16<3>(counts, tile);
    case 4: return tile16<4>(counts, tile);
    case 5: return tile16<5>(counts, tile);
    case 6: return tile16<6>(counts, tile);
    default: return tile16<7>(counts, tile);
  }
}

void count32(uint32_t* counts, const BinaryTile& tile) {
  switch (tile.pixels) {
    case 1: return tile32<1>(counts, tile);
    case 2: return tile32<2>(counts, tile);
    case 3: return tile32<3>(counts, tile);
    case 4: return tile32<4>(counts, tile);
    case 5: return tile32<5>(counts, tile);
    case 6: return tile32<6>(counts, tile);
    default: return tile32<7>(counts, tile);
  }
}

const BinaryKernel kernel = {
    "bconv_avx512vpopcnt", "avx512vpopcnt", "vpopcntw, channels in 16-bit lanes, broadcast activations, tile 7x64",
    kRankAvx512Vpopcnt, supports_avx512vpopcnt, kPanel, kPixels, panel_bytes, pack, count16, count32,
};

}  // namespace

const BinaryKernel* const bconv_avx512vpopcnt = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const BinaryKernel* const bconv_avx512vpopcnt = nullptr;
}  // namespace bitwright

#endif
