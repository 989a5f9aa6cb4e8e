// Binary convolution with a threshold for AVX-512 with VPOPCNTDQ and VBMI2, lane = output pixel: for layers of few outputs, for taps of few words (with the
// channels in the lanes a tap's address is loaded for each pixel) and for groups whose outputs share words. The map is laid out by phases (phased_map.h),
// so that 16 pixels' words of a tap are one load; then each output channel costs what it has to, however few there are, its weights being embedded
// broadcasts from the same panels of 16 channels as bconv16_avx512vpopcnt's. Counts begin at -1 - limit, so that their signs are the bits, to be put
// wherever they belong in a word.
//
// Cost per word of 16 pixels: a load, then vpxord, vpopcntd, vpaddd per output: 0.75 cycles on Zen 5; a channel's signs one vpshldd.
// Measured (Zen 5 server, gcc 12, one core, benchmarks/grid.py, thresholds; in brackets with channels in the lanes): 4
// groups of 13 -> 1, 5x5, 32x32: 15 us (77); 19 -> 1, 3x3, 28x28: 1.9 (7.6); 4 groups of 48 -> 34, 1x1, 8x53, batch 8: 77 (169); 2 -> 16, 3x3, 56x56: 12.
#include "isa.h"

#include "entries.h"
#include "kernel_binary.h"

#if BITWRIGHT_AVX512VPOPCNT

#include <immintrin.h>

#include <cstddef>
#include <type_traits>

#include "arrange_avx512.h"

namespace bitwright {
namespace {

using Z = __m512i;

// `outputs` channels, O >= outputs of them computed: those past the last have weights 0 and get no bit.
template <int O>
void threshold(const PixelBits& job) {
  Z acc[O];  // below 0 where the count is within its limit
  if (job.classes == 1) {
    BITWRIGHT_UNROLL for (int o = 0; o < O; ++o) acc[o] = _mm512_set1_epi32(job.origin[o]);
  } else {
    const Z pixel_class = _mm512_loadu_si512(job.pixel_class);
    const auto of32 = [&](const int32_t* row) { return _mm512_permutex2var_epi32(_mm512_load_si512(row), pixel_class, _mm512_load_si512(row + 16)); };
    const int32_t* from = job.origin;
    if (job.classes == 16) {
      BITWRIGHT_UNROLL for (int o = 0; o < O; ++o) acc[o] = _mm512_permutexvar_epi32(pixel_class, _mm512_load_si512(from + 16 * o));
    } else if (job.classes == 32) {
      BITWRIGHT_UNROLL for (int o = 0; o < O; ++o) acc[o] = of32(from + 32 * o);
    } else {
      const __mmask16 upper = _mm512_cmpgt_epi32_mask(pixel_class, _mm512_set1_epi32(31));
      BITWRIGHT_UNROLL for (int o = 0; o < O; ++o) acc[o] = _mm512_mask_mov_epi32(of32(from + 64 * o), upper, of32(from + 64 * o + 32));
    }
  }
  const auto* w = static_cast<const int32_t*>(job.weights);
  for (size_t step = 0; step < job.steps; ++step, w += 16) {
    const Z words = _mm512_loadu_si512(job.x + job.offset[step]);
    BITWRIGHT_UNROLL for (int o = 0; o < O; ++o)
      acc[o] = _mm512_add_epi32(acc[o], _mm512_popcnt_epi32(_mm512_xor_si512(words, _mm512_set1_epi32(w[o]))));
  }
  // The signs, shifted in from the last channel on; two chains.
  constexpr int kHalf = O / 2;
  Z bits = _mm512_setzero_si512(), upper_bits = bits;
  BITWRIGHT_UNROLL for (int o = O - 1; o >= kHalf; --o) upper_bits = _mm512_shldi_epi32(upper_bits, acc[o], 1);
  BITWRIGHT_UNROLL for (int o = kHalf - 1; o >= 0; --o) bits = _mm512_shldi_epi32(bits, acc[o], 1);
  bits = _mm512_or_si512(bits, _mm512_slli_epi32(upper_bits, kHalf));
  const uint32_t real = (1u << job.outputs) - 1u;
  bits = _mm512_and_si512(_mm512_xor_si512(bits, _mm512_set1_epi32(static_cast<int32_t>(job.flip))), _mm512_set1_epi32(static_cast<int32_t>(real)));
  const auto put = [](uint32_t* row, Z more) { _mm512_storeu_si512(row, _mm512_or_si512(_mm512_loadu_si512(row), more)); };
  put(job.rows, _mm512_sll_epi32(bits, _mm_cvtsi32_si128(static_cast<int32_t>(job.shift))));
  if (job.shift + job.outputs > 32) put(job.rows + 16, _mm512_srl_epi32(bits, _mm_cvtsi32_si128(static_cast<int32_t>(32 - job.shift))));
}

void bits(const PixelBits& job) {
  static constexpr void (*by_outputs[])(const PixelBits&) = {threshold<1>, threshold<2>, threshold<3>,  threshold<4>,  threshold<6>,  threshold<6>,
                                                             threshold<8>, threshold<8>, threshold<10>, threshold<10>, threshold<12>, threshold<12>,
                                                             threshold<14>, threshold<14>, threshold<16>, threshold<16>};
  by_outputs[job.outputs - 1](job);
}

// Four words of 16 pixels: vector v of the transposed ones has those of pixel 4*l + v in its 128-bit lane l. `first`: of the first pixel.
BITWRIGHT_INLINE void transpose_four(uint32_t* first, size_t words, Z a, Z b, Z c, Z d) {
  const Z ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d), ab2 = _mm512_unpackhi_epi32(a, b), cd2 = _mm512_unpackhi_epi32(c, d);
  const Z v[4] = {_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd), _mm512_unpacklo_epi64(ab2, cd2), _mm512_unpackhi_epi64(ab2, cd2)};
  const auto put = [&](auto lane) {
    BITWRIGHT_UNROLL for (int i = 0; i < 4; ++i, first += words)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(first), _mm512_extracti32x4_epi32(v[i], decltype(lane)::value));
  };
  put(std::integral_constant<int, 0>()), put(std::integral_constant<int, 1>());
  put(std::integral_constant<int, 2>()), put(std::integral_constant<int, 3>());
}

// The words that are no whole four come first: what they write behind themselves is written again.
void transpose(uint32_t* to, const uint32_t* rows, size_t words) {
  const auto row = [&](size_t w) { return w < words ? _mm512_loadu_si512(rows + w * kPixelLanes) : _mm512_setzero_si512(); };
  if (words == 2) {
    const Z low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const Z high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    _mm512_storeu_si512(to, _mm512_permutex2var_epi32(row(0), low, row(1)));
    _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi32(row(0), high, row(1)));
    return;
  }
  const size_t fours = words / 4 * 4;
  if (fours != words) transpose_four(to + fours, words, row(fours), row(fours + 1), row(fours + 2), row(fours + 3));
  for (size_t w = 0; w < fours; w += 4) transpose_four(to + w, words, row(w), row(w + 1), row(w + 2), row(w + 3));
}

const PixelKernel kernel = {bits, transpose, arrange};

}  // namespace

const PixelKernel* const bconv16_pixels_avx512vpopcnt = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PixelKernel* const bconv16_pixels_avx512vpopcnt = nullptr;
}  // namespace bitwright

#endif
