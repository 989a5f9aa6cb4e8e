#include "bconv_vpopcnt.h"

#include "entries.h"
#include "kernel_binary.h"
#include "tiles.h"

namespace bitwright {

#if BITWRIGHT_AVX512VPOPCNT

namespace {

template <int V, int kPixels, class Family = Vpopcnt<V, kPixels>>
BinaryKernel tile(const char* name) {
  BinaryKernel k{name,         "avx512vpopcnt", "", kRankAvx512Vpopcnt, supports_avx512vpopcnt, Family::kPanel, kPixels, Family::panel_bytes,
                 Family::pack, Family::count16, Family::count32, Family::bits};
  if constexpr (V == 2 || V == 4) {  // chains of 32 or 64 channels
    k.pack_in_order = Family::pack_in_order;
    k.floats = Family::floats;
    k.shorts = Family::shorts;
  }
  return k;
}

}  // namespace

std::vector<const BinaryKernel*> candidate_tiles_avx512vpopcnt() {
  static const BinaryKernel all[] = {tile<4, 6>("6x64"), tile<4, 7>("7x64"), tile<2, 6>("6x32"), tile<2, 7>("7x32"), tile<2, 8>("8x32"), tile<2, 9>("9x32"), tile<2, 12>("12x32"), tile<2, 14>("14x32"),
                                     tile<2, 16>("16x32"), tile<1, 8>("8x16"), tile<1, 12>("12x16"), tile<1, 16>("16x16"), tile<1, 20>("20x16"), tile<1, 24>("24x16"), tile<1, 28>("28x16")};
  std::vector<const BinaryKernel*> out;
  for (const BinaryKernel& k : all) out.push_back(&k);
  return out;
}

#else

std::vector<const BinaryKernel*> candidate_tiles_avx512vpopcnt() { return {}; }

#endif

}  // namespace bitwright
