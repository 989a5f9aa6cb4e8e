// Binary convolution for AVX2: nibble tables (nibble_table.h).
//
// The row of an activation's nibble is broadcast from memory, the nibbles of 32 channels' weights index it by vpshufb. Lane = output channel in 8
// bits, tile 5 pixels x 64 channels: 10 ymm accumulators of byte sums, which hold 7 words (56 nibbles of at most 4) and are then widened into 16-bit
// sums in L1.
//
// Cost per 128 MAC (one nibble of 32 channels): vpshufb + vpaddb, and half of (vbroadcasti128 load + half of a byte load and shift).
//   Intel before Ice Lake (analysis): one shuffle port, 128 MAC/cycle. Ice Lake and later, Zen: two shuffle ports, front-end bound at about 200.
// Measured (Zen 5 server, 3.6 GHz, gcc 12, one core, bitwright_bench counts, ResNet-18's 3x3 layers): 620 to 710 GMAC/s, 175 to 195 MAC/cycle.
//
// Tiles (Zen 5 server, bitwright_tiles_bench avx2, speed over 4x64): 5x64 1.00 to 1.04 nearly everywhere; 3x64 1.02 where a tap is two words and the map
// large; 2x128 1.04 to 1.16 in 1x1 layers of 64 -> 128 and in dense layers of one sample, whose rows it loads for twice the channels, 0.91 to
// 0.95 elsewhere. What lost: 6x64 (0.9 to 1.0), 3x96 (0.6 to 0.97 unless there are 96 outputs).
#include "bconv_nibbles_avx2.h"

#include "entries.h"
#include "kernel_binary.h"

namespace bitwright {

#if BITWRIGHT_AVX2

namespace {

using Family = Nibbles<2, 5>;
using Wide = Nibbles<4, 2>;

constexpr BinaryKernel family = {
    "bconv_avx2", "avx2", "nibble tables by vpshufb, channels in 8-bit lanes, tile 5x64",
    kRankAvx2, supports_avx2, Family::kPanel, 5, Family::panel_bytes, pack_nibbles<Family::kPanel>, Family::count16, Family::count32, nullptr, &bconv32_avx2,
};

constexpr BinaryKernel tile3 = with_tile(family, "bconv_avx2/3x64", 3);
constexpr BinaryKernel tile5 = with_tile(family, "bconv_avx2/5x64", 5);
constexpr BinaryKernel wide = {
    "bconv_avx2/2x128", "avx2", "", kRankAvx2, supports_avx2, Wide::kPanel, 2, Wide::panel_bytes, pack_nibbles<Wide::kPanel>, Wide::count16, Wide::count32,
};
const BinaryKernel* const tiles[] = {&tile5, &tile3, &wide, nullptr};

const BinaryKernel kernel = with_tiles(family, tiles);

}  // namespace

const BinaryKernel* const bconv_avx2 = &kernel;

#else

const BinaryKernel* const bconv_avx2 = nullptr;

#endif

}  // namespace bitwright
