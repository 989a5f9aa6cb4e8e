// Lane = output channel in 32 bits, tile 4 pixels x 16 channels. Per 256 bits: xor, and, shift, and, two vpshufb, two vpaddb; byte sums are widened
// every 31 words.
#include "classic_popcount.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <cstring>

using namespace bitwright;

namespace {

#define AVX2 __attribute__((target("avx2")))
using Y = __m256i;
constexpr uint32_t kPanel = 16, kPixels = 4;

size_t panel_bytes(uint32_t taps, uint32_t words) { return size_t{taps} * words * kPanel * 4; }

void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = size_t{taps} * words;
  auto* to = static_cast<uint32_t*>(panels);
  for (uint32_t first = 0; first < outputs; first += kPanel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t lane = 0; lane < kPanel; ++lane) *to++ = first + lane < outputs ? weights[(first + lane) * steps + k] : 0;
}

template <int P>
AVX2 void tile16(uint16_t* counts, const BinaryTile& tile) {
  const Y table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const Y low = _mm256_set1_epi8(15), ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
  Y sums[P][2], bytes[P][2];
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) sums[i][0] = sums[i][1] = bytes[i][0] = bytes[i][1] = _mm256_setzero_si256();
  const auto* w = static_cast<const Y*>(tile.weights);
  uint32_t room = 31;
  for (uint32_t tap = 0; tap < tile.taps; ++tap)
    for (uint32_t k = 0; k < tile.words; ++k, w += 2) {
      const Y w0 = _mm256_load_si256(w), w1 = _mm256_load_si256(w + 1);
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) {
        const Y a = _mm256_set1_epi32(static_cast<int>(tile.base[i][tile.offset[i][tap] + static_cast<int32_t>(k)]));
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const Y x = _mm256_xor_si256(a, v == 0 ? w0 : w1);
          bytes[i][v] = _mm256_add_epi8(bytes[i][v], _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)));
          bytes[i][v] = _mm256_add_epi8(bytes[i][v], _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
        }
      }
      if (--room == 0 || (tap + 1 == tile.taps && k + 1 == tile.words)) {
        room = 31;
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i)
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            sums[i][v] = _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(_mm256_maddubs_epi16(bytes[i][v], ones8), ones16));
            bytes[i][v] = _mm256_setzero_si256();
          }
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) {
    const Y both = _mm256_permute4x64_epi64(_mm256_packus_epi32(sums[i][0], sums[i][1]), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<Y*>(counts + static_cast<uint32_t>(i) * kPanel), both);
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

bool supported() { return isa_supported("avx2"); }

const BinaryKernel kernel = {"classic_avx2", "avx2", "classic vpshufb popcount, tile 4x16", 0, supported, kPanel, kPixels, panel_bytes, pack, count16, nullptr};

}  // namespace

const BinaryKernel* classic_popcount() { return supported() ? &kernel : nullptr; }

#else

const bitwright::BinaryKernel* classic_popcount() { return nullptr; }

#endif
