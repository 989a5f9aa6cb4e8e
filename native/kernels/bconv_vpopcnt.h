// The binary convolution of AVX-512 with VPOPCNTDQ (Ice Lake and later, Zen 4 and later), for panels of 16, 32 and 64 output channels. Included
// by bconv_avx512vpopcnt.cpp, bconv32_avx512vpopcnt.cpp and bconv16_avx512vpopcnt.cpp.
//
// Lane = output channel in 32 bits; an activation word is an embedded broadcast ({1to16}), which needs no operation of its own. No horizontal sum, no
// im2col, K padded only to 32. Two vectors of 16 channels become 32 counts of 16 bits by one vpackusdw: channel c of these 32 lies in vector
// c % 8 / 4, lane c / 8 * 4 + c % 4 (see pack), so that the packed counts come out in order.
//
// Cost per 512 MAC: vpxord (with the broadcast load), vpopcntd, vpaddd.
//   Intel (analysis): 512-bit operations on ports 0 and 5, vpopcntd on 5 only: 1.5 cycles, 341 MAC/cycle.
//   Zen 4 (analysis): four 256-bit pipes, vpopcntd on two: 1.5 cycles, 341 MAC/cycle.
//   Zen 5 (measured issue rate of the three): 690 MAC/cycle.
// What lost (Zen 5, measured): carry-save addition of two words by three VPTERNLOG (5 operations for 2 words instead of 6) reached 440 to 500
// MAC/cycle in any tile shape and order, its twice as long chains and 24 registers of state cost more than the sixth operation. With pairs of
// activations and of weights combined beforehand, as bare assembly on data in L1, it reached 710 (4 to 8 pixels x 1 or 2 vectors) where xor, popcount
// and add reach 665 to 678: not worth another pass over the activations. 16-bit lanes with a rotation per broadcast: 560.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts): 2,130 GMAC/s (3x3, 64 channels) to 2,350 (K = 4096), 590 to 650
// MAC/cycle; at its best moments 98 % of the 690.
#pragma once

#include "isa.h"

#if BITWRIGHT_AVX512VPOPCNT

#include <immintrin.h>

#include <utility>

#include "chain_avx512.h"
#include "kernel_binary.h"
#include "pack_panels.h"

namespace bitwright {
namespace {

// V vectors of 16 channels, at most kPixels pixels: kPixels * V accumulators, V weights and V temporaries are at most 32 registers.
template <int V, int kPixels>
struct Vpopcnt {
  using Z = __m512i;
  static constexpr uint32_t kPanel = 16 * V;
  static constexpr size_t kWordBytes = kPanel * sizeof(uint32_t);  // of one (tap, word) in a panel

  static size_t panel_bytes(uint32_t taps, uint32_t words) { return static_cast<size_t>(taps) * words * kWordBytes; }

  // [taps*words][V][16] words.
  static void pack(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
    const size_t steps = static_cast<size_t>(taps) * words;
    pack_panels<kPanel>(static_cast<uint32_t*>(panels), (outputs + kPanel - 1) / kPanel, weights, outputs, steps, steps, [](uint32_t lane) {
      if (V == 1) return lane;
      const uint32_t in_vector = lane % 16;
      return lane / 32 * 32 + in_vector / 4 * 8 + lane / 16 % 2 * 4 + in_vector % 4;
    });
  }

  static void pack_in_order(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
    const size_t steps = static_cast<size_t>(taps) * words;
    pack_panels<kPanel>(static_cast<uint32_t*>(panels), (outputs + kPanel - 1) / kPanel, weights, outputs, steps, steps, [](uint32_t lane) { return lane; });
  }

  // Inline assembly, one instruction a statement, because gcc 12 moves accumulators between registers around the intrinsics, and volatile because
  // the order matters: the V chains of a pixel side by side.
  static BITWRIGHT_INLINE Z differ(const uint32_t* a, Z w) {
#if BITWRIGHT_GNU_ASM
    Z x;
    __asm__ volatile("vpxord %1%{1to16%}, %2, %0" : "=v"(x) : "m"(*a), "v"(w));
    return x;
#else
    return _mm512_xor_si512(_mm512_set1_epi32(static_cast<int32_t>(*a)), w);
#endif
  }
  static BITWRIGHT_INLINE void ones(Z& x) {
#if BITWRIGHT_GNU_ASM
    __asm__ volatile("vpopcntd %0, %0" : "+v"(x));
#else
    x = _mm512_popcnt_epi32(x);
#endif
  }
  static BITWRIGHT_INLINE void add(Z& acc, Z x) {
#if BITWRIGHT_GNU_ASM
    __asm__ volatile("vpaddd %1, %0, %0" : "+v"(acc) : "v"(x));
#else
    acc = _mm512_add_epi32(acc, x);
#endif
  }

  // One word of all pixels, each from pixel(i).
  template <int P, class Pixel>
  static BITWRIGHT_INLINE void count_word(Z (&acc)[P][V], const char* w, const Pixel& pixel) {
    Z weight[V];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) weight[v] = _mm512_load_si512(w + 64 * v);
    if constexpr (P == 1 && V > 1) {  // dense layers of one sample: bound by loads, so the broadcast is one for all vectors
      const Z x = _mm512_set1_epi32(static_cast<int32_t>(*pixel(0)));
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) weight[v] = _mm512_xor_si512(x, weight[v]);
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) ones(weight[v]);
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) add(acc[0][v], weight[v]);
    } else {
      constexpr int kSide = V == 1 && P >= 4 ? 4 : 1;  // pixels side by side, where one pixel has only one chain
      BITWRIGHT_UNROLL for (int i0 = 0; i0 < P; i0 += kSide) {
        Z x[kSide][V];
        BITWRIGHT_UNROLL for (int i = 0; i < kSide; ++i)
          if (i0 + i < P) {
            const uint32_t* a = pixel(i0 + i < P ? i0 + i : 0);
            BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x[i][v] = differ(a, weight[v]);
          }
        BITWRIGHT_UNROLL for (int i = 0; i < kSide; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v)
            if (i0 + i < P) ones(x[i][v]);
        BITWRIGHT_UNROLL for (int i = 0; i < kSide; ++i)
          BITWRIGHT_UNROLL for (int v = 0; v < V; ++v)
            if (i0 + i < P) add(acc[i0 + i < P ? i0 + i : 0][v], x[i][v]);
      }
    }
  }

  // Tap by tap, with the pixels' addresses in registers or, where they are too many, on the stack.
  template <int P>
  static BITWRIGHT_INLINE void count_taps(Z (&acc)[P][V], const BinaryTile& tile) {
    const char* w = static_cast<const char*>(tile.weights);
    for (uint32_t tap = 0; tap < tile.taps; ++tap) {
      const uint32_t* a[P];
      if (tile.together) {
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = tile.base[0] + tile.offset[0][static_cast<size_t>(i) * tile.taps + tap];
      } else {
        BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) a[i] = tile.base[i] + tile.offset[i][tap];
      }
      for (size_t k = 0; k < tile.words; ++k, w += kWordBytes) count_word<P>(acc, w, [&](int i) { return a[i] + k; });
    }
  }

  // Pixels together: the rows of offsets lie one after the other, and a pixel's address costs one load, less than to keep up to 16 of them on the
  // stack. Where a tap has one or two words addresses are most of the time.
  template <int P>
  static BITWRIGHT_INLINE void count_together(Z (&acc)[P][V], const BinaryTile& tile) {
    const char* w = static_cast<const char*>(tile.weights);
    const size_t taps = tile.taps;
    const int32_t* fourth[(P + 3) / 4];  // rows of pixels 0, 4, 8, ...: of the tap
    BITWRIGHT_UNROLL for (int j = 0; j < (P + 3) / 4; ++j) fourth[j] = tile.offset[0] + 4 * static_cast<size_t>(j) * taps;
    size_t third = 3 * taps;
#if BITWRIGHT_GNU_ASM
    __asm__("" : "+r"(third));  // else gcc counts four columns up in memory
#endif
    const size_t column[4] = {0, taps, 2 * taps, third};
    for (const int32_t* end_tap = fourth[0] + taps; fourth[0] != end_tap;) {
      const uint32_t* from = tile.base[0];
      for (const uint32_t* end = from + tile.words; from != end; ++from, w += kWordBytes)
        count_word<P>(acc, w, [&](int i) { return from + fourth[i / 4][column[i % 4]]; });
      BITWRIGHT_UNROLL for (int j = 0; j < (P + 3) / 4; ++j) ++fourth[j];
    }
  }

  template <int P>
  static BITWRIGHT_INLINE void count(Z (&acc)[P][V], const BinaryTile& tile, int32_t start = 0) {
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = _mm512_set1_epi32(start);
    if (V < 4 && tile.together)
      count_together<P>(acc, tile);
    else
      count_taps<P>(acc, tile);
  }

  // Counts of 32 channels in order, 16 bits each.
  static BITWRIGHT_INLINE Z narrow(Z even, Z odd) { return _mm512_packus_epi32(even, odd); }

  template <int P>
  static void tile16(uint16_t* counts, const BinaryTile& tile) {
    Z acc[P][V];
    count<P>(acc, tile);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      uint16_t* to = counts + static_cast<uint32_t>(i) * kPanel;
      if constexpr (V == 1) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(acc[i][0]));
      } else {
        BITWRIGHT_UNROLL for (int v = 0; v + 1 < V; v += 2) _mm512_storeu_si512(to + 16 * v, narrow(acc[i][v], acc[i][v + 1]));
      }
    }
  }

  template <int P>
  static void tile32(uint32_t* counts, const BinaryTile& tile) {
    const Z low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    Z acc[P][V];
    count<P>(acc, tile);
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      uint32_t* to = counts + static_cast<uint32_t>(i) * kPanel;
      if constexpr (V == 1) {
        _mm512_storeu_si512(to, acc[i][0]);
      } else {
        BITWRIGHT_UNROLL for (int v = 0; v + 1 < V; v += 2) {
          _mm512_storeu_si512(to + 16 * v, _mm512_permutex2var_epi64(acc[i][v], low, acc[i][v + 1]));
          _mm512_storeu_si512(to + 16 * v + 16, _mm512_permutex2var_epi64(acc[i][v], high, acc[i][v + 1]));
        }
      }
    }
  }

  // count <= limit as count < limit + 1 in 16 unsigned bits: a limit is -1 or a count.
  struct Limits {
    Z bound[(V + 1) / 2];
    BITWRIGHT_INLINE void set(const int32_t* limit) {
      const Z one = _mm512_set1_epi32(1);
      BITWRIGHT_UNROLL for (int v = 0; v < V; v += 2) {
        const Z low = _mm512_add_epi32(_mm512_loadu_si512(limit + 16 * v), one), high = _mm512_add_epi32(_mm512_loadu_si512(limit + 16 * v + 16), one);
        // Lanes of 128 bits come out as low, high, low, ...; put them in order.
        bound[v / 2] = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi32(low, high));
      }
    }
  };

  template <int P>
  static BITWRIGHT_INLINE uint32_t below(const Z (&acc)[P][V], const Limits& limits, int i, int w) {
    return _mm512_cmplt_epu16_mask(narrow(acc[i][2 * w], acc[i][2 * w + 1]), limits.bound[w]);
  }

  // One vector of channels: with few branches, which would take most of the time of a tap or two.
  template <int P>
  static BITWRIGHT_INLINE void put_bits(const Z (&acc)[P][V], const BinaryTile& tile, const BitsTile& bits, uint32_t flip, uint32_t real) {
    const int32_t* const* limit = bits.limit;
    const uint32_t channel = bits.channel;
    const auto word = [&](int i) { return (_mm512_cmple_epi32_mask(acc[i][0], _mm512_loadu_si512(limit[i] + channel)) ^ flip) & real; };
    if (tile.together) {
      uint32_t* to = bits.out[0];
      const size_t stride = bits.out_stride;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i, to += stride) *to = word(i);
    } else {
      uint32_t* const* out = bits.out;
      BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) *out[i] = word(i);
    }
  }

  template <int P>
  static void tile_bits(const BinaryTile& tile, const BitsTile& bits) {
    Z acc[P][V];
    count<P>(acc, tile);
    constexpr int kWords = (V + 1) / 2;
    uint32_t flip[kWords], real[kWords];
    BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w) {
      const uint32_t first = 32 * static_cast<uint32_t>(w);
      flip[w] = bits.flip != nullptr && first < bits.channels ? bits.flip[w] : 0;
      real[w] = bits.channels >= first + 32 ? 0xffffffffu : bits.channels > first ? (1u << (bits.channels - first)) - 1u : 0;
    }
    if constexpr (V == 1) {
      put_bits(acc, tile, bits, flip[0], real[0]);
      return;
    }
    const uint32_t words = (bits.channels + 31) / 32;
    const int32_t* row = bits.limit[0];
    Limits limits;
    limits.set(row + bits.channel);
    uint32_t* to = bits.out[0];
    BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
      if (bits.limit[i] != row) limits.set((row = bits.limit[i]) + bits.channel);
      if (i > 0) to = tile.together ? to + bits.out_stride : bits.out[i];
      if (words == kWords) {
        BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w) to[w] = (below<P>(acc, limits, i, w) ^ flip[w]) & real[w];
      } else {
        BITWRIGHT_UNROLL for (int w = 0; w < kWords; ++w)
          if (static_cast<uint32_t>(w) < words) to[w] = (below<P>(acc, limits, i, w) ^ flip[w]) & real[w];
      }
    }
  }

  template <int P>
  static void tile_floats(const BinaryTile& tile, const FloatsTile& to) {
    const InOrder<FloatsTile> at{to};
    prefetch_added<P, 16 * V>(to, at);
    Z acc[P][V];
    count<P>(acc, tile, kBitsOf2To23);
    floats_end<P, V / 2>([&](int i, int v) { return acc[i][v]; }, to, at, AnyShape(to));
  }

  template <int P>
  static void tile_shorts(const BinaryTile& tile, const ShortsTile& to) {
    const InOrder<ShortsTile> at{to};
    prefetch_added<P, 16 * V>(to, at);
    Z acc[P][V];
    count<P>(acc, tile);
    shorts_end<P, V / 2>([&](int i, int w) { return narrow(acc[i][2 * w], acc[i][2 * w + 1]); }, to, at, AnyShape(to));
  }

  // By the tile's number of pixels.
  template <size_t... P>
  static BITWRIGHT_INLINE void count16_of(uint16_t* counts, const BinaryTile& tile, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(uint16_t*, const BinaryTile&) = {tile16<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](counts, tile);
  }
  template <size_t... P>
  static BITWRIGHT_INLINE void count32_of(uint32_t* counts, const BinaryTile& tile, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(uint32_t*, const BinaryTile&) = {tile32<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](counts, tile);
  }
  template <size_t... P>
  static BITWRIGHT_INLINE void bits_of(const BinaryTile& tile, const BitsTile& bits, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(const BinaryTile&, const BitsTile&) = {tile_bits<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](tile, bits);
  }

  template <size_t... P>
  static BITWRIGHT_INLINE void floats_of(const BinaryTile& tile, const FloatsTile& to, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(const BinaryTile&, const FloatsTile&) = {tile_floats<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](tile, to);
  }
  template <size_t... P>
  static BITWRIGHT_INLINE void shorts_of(const BinaryTile& tile, const ShortsTile& to, std::index_sequence<P...>) {
    static constexpr void (*by_pixels[])(const BinaryTile&, const ShortsTile&) = {tile_shorts<static_cast<int>(P) + 1>...};
    by_pixels[tile.pixels - 1](tile, to);
  }

  using Pixels = std::make_index_sequence<kPixels>;
  static void count16(uint16_t* counts, const BinaryTile& tile) { count16_of(counts, tile, Pixels()); }
  static void count32(uint32_t* counts, const BinaryTile& tile) { count32_of(counts, tile, Pixels()); }
  static void bits(const BinaryTile& tile, const BitsTile& to) { bits_of(tile, to, Pixels()); }
  static void floats(const BinaryTile& tile, const FloatsTile& to) { floats_of(tile, to, Pixels()); }
  static void shorts(const BinaryTile& tile, const ShortsTile& to) { shorts_of(tile, to, Pixels()); }
};

}  // namespace
}  // namespace bitwright

#endif
