// Binary convolution with a threshold for AVX-512 with VPOPCNTDQ, lane = output pixel: for layers of few outputs, and for groups whose outputs share
// words. 16 pixels' words are gathered once, [steps][16]; then each output channel costs what it has to, however few there are, its weights being
// embedded broadcasts from the same panels of 16 channels as bconv16_avx512vpopcnt's; and the bits of 16 pixels come out as one mask per channel, to
// be put wherever they belong in a word.
//
// Cost per word of 16 pixels: a load where the pixels follow each other, otherwise 16 insertions, or, where a tap
// has four words or more, a quarter of a transposition of 16 bytes of each pixel; then vpxord, vpopcntd, vpaddd per output: 0.75 cycles on Zen 5.
// Measured (Zen 5 server, gcc 12, one core, benchmarks/grid.py, thresholds; in brackets with channels in the lanes): 2 groups of 1 -> 108, 1x1,
// 13x13, batch 8: 19 us (73); 8 groups of 57 -> 13, 3x3, 27x45: 87 (114); 4 -> 16, 1x1, stride 2, 27x27, batch 5: 1.7 (4.0).
#include "isa.h"

#include "entries.h"

#if BITWRIGHT_AVX512VPOPCNT

#include <immintrin.h>

#include <cstddef>

namespace bitwright {
namespace {

using Z = __m512i;

// Words k to k + 3 of 16 pixels.
BITWRIGHT_INLINE void gather4(uint32_t* to, const uint32_t* const (&pixel)[16], size_t k) {
  // Vector j holds pixels j, j + 4, j + 8, j + 12, so that a transposition within the lanes of 128 bits ends in the order of pixels.
  Z v[4];
  BITWRIGHT_UNROLL for (int j = 0; j < 4; ++j) {
    const auto row = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel[i] + k)); };
    Z x = _mm512_castsi128_si512(row(j));
    x = _mm512_inserti32x4(x, row(j + 4), 1);
    x = _mm512_inserti32x4(x, row(j + 8), 2);
    v[j] = _mm512_inserti32x4(x, row(j + 12), 3);
  }
  const Z a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
  const Z c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
  _mm512_store_si512(to, _mm512_unpacklo_epi64(a, c));
  _mm512_store_si512(to + 16, _mm512_unpackhi_epi64(a, c));
  _mm512_store_si512(to + 32, _mm512_unpacklo_epi64(b, d));
  _mm512_store_si512(to + 48, _mm512_unpackhi_epi64(b, d));
}

// One word of 16 pixels, word(i) of pixel i. VPGATHERDD took some 40 cycles on Zen 5, loads and insertions under 20.
template <class Word>
BITWRIGHT_INLINE Z collect(const Word& word) {
  const auto four = [&](int i) {
    __m128i x = _mm_cvtsi32_si128(word(i));
    x = _mm_insert_epi32(x, word(i + 1), 1);
    x = _mm_insert_epi32(x, word(i + 2), 2);
    return _mm_insert_epi32(x, word(i + 3), 3);
  };
  Z x = _mm512_castsi128_si512(four(0));
  x = _mm512_inserti32x4(x, four(4), 1);
  x = _mm512_inserti32x4(x, four(8), 2);
  return _mm512_inserti32x4(x, four(12), 3);
}

// Places are read from the table and not from a vector put to memory, which a load of a part would have to wait for.
template <bool one_sample>
BITWRIGHT_INLINE void gather_from(uint32_t* x, const PixelWords& job) {
  const Z count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const int32_t* offset = job.offset;
  for (uint32_t tap = 0; tap < job.taps; ++tap, offset += job.offset_stride, x += std::size_t{16} * job.words) {
    if (one_sample && job.words == 1 &&
        _mm512_cmpneq_epi32_mask(_mm512_sub_epi32(_mm512_loadu_si512(offset), _mm512_set1_epi32(offset[0])), count) == 0) {  // one after the other
      _mm512_store_si512(x, _mm512_loadu_si512(job.base + offset[0]));
      continue;
    }
    const auto place = [&](int i) { return job.base + (one_sample ? offset[i] : offset[i] + job.sample[i]); };
    if (job.words < 4) {
      for (uint32_t k = 0; k < job.words; ++k)
        _mm512_store_si512(x + std::size_t{16} * k, collect([&](int i) { return static_cast<int32_t>(place(i)[k]); }));
      continue;
    }
    const uint32_t* pixel[16];
    BITWRIGHT_UNROLL for (int i = 0; i < 16; ++i) pixel[i] = place(i);
    for (std::size_t k = 0; k + 4 <= job.words; k += 4) gather4(x + 16 * k, pixel, k);
    if (job.words % 4 != 0) gather4(x + std::size_t{16} * (job.words - 4), pixel, job.words - 4);  // some of them again
  }
}

void gather(uint32_t* x, const PixelWords& job) { job.sample ? gather_from<false>(x, job) : gather_from<true>(x, job); }

// `outputs` channels, O >= outputs of them computed: those past the last have weights 0 and get no bit.
template <int O>
void threshold(const PixelBits& job) {
  Z acc[O];
  BITWRIGHT_UNROLL for (int o = 0; o < O; ++o) acc[o] = _mm512_setzero_si512();
  const auto* w = static_cast<const int32_t*>(job.weights);
  const uint32_t* x = job.x;
  for (size_t step = 0; step < job.steps; ++step, x += 16, w += 16) {
    const Z words = _mm512_load_si512(x);
    BITWRIGHT_UNROLL for (int o = 0; o < O; ++o)
      acc[o] = _mm512_add_epi32(acc[o], _mm512_popcnt_epi32(_mm512_xor_si512(words, _mm512_set1_epi32(w[o]))));
  }
  Z bits = _mm512_setzero_si512();
  if (job.classes == 1) {
    BITWRIGHT_UNROLL for (int o = 0; o < O; ++o)
      bits = _mm512_mask_or_epi32(bits, _mm512_cmple_epi32_mask(acc[o], _mm512_set1_epi32(job.limit[o])), bits, _mm512_set1_epi32(1 << o));
  } else {
    alignas(64) int32_t limit[O][16];
    const Z pixel_class = _mm512_loadu_si512(job.pixel_class);
    const int32_t* from = job.limit;
    if (job.classes == 16) {
      for (int o = 0; o < O; ++o, from += 16) _mm512_store_si512(limit[o], _mm512_permutexvar_epi32(pixel_class, _mm512_load_si512(from)));
    } else {
      const auto of32 = [&](const int32_t* row) { return _mm512_permutex2var_epi32(_mm512_load_si512(row), pixel_class, _mm512_load_si512(row + 16)); };
      const bool more = job.classes == 64;
      const __mmask16 upper = _mm512_cmpgt_epi32_mask(pixel_class, _mm512_set1_epi32(31));
      for (int o = 0; o < O; ++o, from += job.classes) {
        Z row = of32(from);
        if (more) row = _mm512_mask_mov_epi32(row, upper, of32(from + 32));
        _mm512_store_si512(limit[o], row);
      }
    }
    BITWRIGHT_UNROLL for (int o = 0; o < O; ++o)
      bits = _mm512_mask_or_epi32(bits, _mm512_cmple_epi32_mask(acc[o], _mm512_load_si512(limit[o])), bits, _mm512_set1_epi32(1 << o));
  }
  const uint32_t real = (1u << job.outputs) - 1u;
  bits = _mm512_and_si512(_mm512_xor_si512(bits, _mm512_set1_epi32(static_cast<int32_t>(job.flip))), _mm512_set1_epi32(static_cast<int32_t>(real)));
  const auto put = [](uint32_t* row, Z more) { _mm512_store_si512(row, _mm512_or_si512(_mm512_load_si512(row), more)); };
  put(job.rows, _mm512_sll_epi32(bits, _mm_cvtsi32_si128(static_cast<int32_t>(job.shift))));
  if (job.shift + job.outputs > 32) put(job.rows + 16, _mm512_srl_epi32(bits, _mm_cvtsi32_si128(static_cast<int32_t>(32 - job.shift))));
}

void bits(const PixelBits& job) {
  static constexpr void (*by_outputs[])(const PixelBits&) = {threshold<1>, threshold<2>, threshold<3>,  threshold<4>,  threshold<6>,  threshold<6>,
                                                             threshold<8>, threshold<8>, threshold<10>, threshold<10>, threshold<12>, threshold<12>,
                                                             threshold<14>, threshold<14>, threshold<16>, threshold<16>};
  by_outputs[job.outputs - 1](job);
}

const PixelKernel kernel = {gather, bits};

}  // namespace

const PixelKernel* const bconv16_pixels_avx512vpopcnt = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const PixelKernel* const bconv16_pixels_avx512vpopcnt = nullptr;
}  // namespace bitwright

#endif
