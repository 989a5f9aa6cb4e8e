#include "bconv_nibbles_avx2.h"

#include "entries.h"
#include "kernel_binary.h"
#include "tiles.h"

namespace bitwright {

#if BITWRIGHT_AVX2

namespace {

template <int V, int kPixels, class Family = Nibbles<V, kPixels>>
BinaryKernel tile(const char* name) {
  return {name, "avx2", "", kRankAvx2, supports_avx2, Family::kPanel, kPixels, Family::panel_bytes, pack_nibbles<Family::kPanel>, Family::count16, Family::count32};
}

}  // namespace

std::vector<const BinaryKernel*> candidate_tiles_avx2() {
  static const BinaryKernel all[] = {tile<2, 4>("4x64"), tile<2, 3>("3x64"), tile<2, 5>("5x64"), tile<2, 6>("6x64"), tile<1, 4>("4x32"), tile<1, 6>("6x32"), tile<1, 8>("8x32"),
                                     tile<1, 10>("10x32"), tile<3, 3>("3x96"), tile<4, 2>("2x128")};
  std::vector<const BinaryKernel*> out;
  for (const BinaryKernel& k : all) out.push_back(&k);
  return out;
}

#else

std::vector<const BinaryKernel*> candidate_tiles_avx2() { return {}; }

#endif

}  // namespace bitwright
