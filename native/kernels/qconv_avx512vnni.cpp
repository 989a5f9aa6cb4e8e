// int8 convolution for AVX-512 with VNNI (Cascade Lake and later, Zen 4 and later): vpdpbusd multiplies 4 bytes of activations with 4 of weights in
// each 32-bit lane and adds the exact sum. Tile 6 pixels x 64 channels in 24 zmm accumulators.
//
// Cost per 4 input channels: 24 vpdpbusd (12 cycles on two pipes), 4 weight loads and 6 broadcast loads; per tile 24 stores, which overlap with
// nothing (some 30 to 50 cycles). A 7x7 stem of 3 channels: 147 products of a pixel take 37 vpdpbusd of 4 (148).
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench), share of the vpdpbusd rate of that run: 93 % for 3x3 of 64 channels, 91 % for
// 1x1 of 256, 64 to 78 % for 1x1 of 64. Rows of the 7x7 stem, whose tiles are smaller (qconv_lines.h): 93 %, with the maxima of windows 87 to 90 %.
#include "isa.h"

#include <cstring>
#include <type_traits>

#include "entries.h"
#include "kernel_int8.h"

#if BITWRIGHT_AVX512VNNI

#include <immintrin.h>

namespace bitwright {
namespace {

constexpr uint32_t kPanel = 64;
constexpr uint32_t kPixels = 6;

struct Simd {
  using I = __m512i;
  using A = __m512i;
  static constexpr int kLanes = 16;
  static constexpr size_t kStep = 64;
  static constexpr uint32_t kKinds = 1;

  static BITWRIGHT_INLINE I zero() { return _mm512_setzero_si512(); }
  static BITWRIGHT_INLINE I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static BITWRIGHT_INLINE void store(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
  static BITWRIGHT_INLINE A activations(const uint8_t* p) {
    int32_t four;
    std::memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static BITWRIGHT_INLINE A all(uint32_t four) { return _mm512_set1_epi32(static_cast<int32_t>(four)); }
  static uint32_t kind_of(const int8_t*, int) { return 0; }
  static void pack4(uint8_t* to, const int8_t* w, uint32_t) { std::memcpy(to, w, kStep); }
  template <uint32_t kKind>
  static BITWRIGHT_INLINE void dot(I& acc, A a, const uint8_t* w) {
    acc = _mm512_dpbusd_epi32(acc, a, _mm512_load_si512(w));
  }
  static BITWRIGHT_INLINE I bytes(const uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static BITWRIGHT_INLINE I weights(const int8_t* p) { return _mm512_cvtepi8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))); }
  // The high halves of x are 0.
  static BITWRIGHT_INLINE I multiply_add(I acc, I x, I w) { return _mm512_dpwssd_epi32(acc, x, w); }
};

#include "qconv_gather.h"
#include "qconv_simd.h"
#include "qconv_lines.h"

const Int8Kernel kernel = {
    "qconv_avx512vnni", "avx512vnni", "vpdpbusd, tile 6x64; rows of few channels 4x64", kRankAvx512Vnni, supports_avx512vnni,
    kPanel, kPixels, panel_bytes, pack, run, depthwise, gather_windows<32>,
    run_lines, run_maxima, lines_spare,
};

}  // namespace

const Int8Kernel* const qconv_avx512vnni = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const Int8Kernel* const qconv_avx512vnni = nullptr;
}  // namespace bitwright

#endif
