// Planes to pixels: every length, against the definition; nothing past the end is written.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "interleave.h"

namespace bitwright {
namespace {

template <class T>
void check() {
  std::mt19937 random(1);
  for (size_t pixels = 0; pixels < 130; ++pixels)
    for (size_t gap : {size_t{0}, size_t{1}, size_t{7}}) {
      std::vector<T> from(3 * (pixels + gap));
      for (T& x : from) x = static_cast<T>(random());
      // Also planes in the opposite order.
      for (int sign : {1, -1}) {
        const auto plane = sign * static_cast<ptrdiff_t>(pixels + gap);
        const T* first = sign > 0 ? from.data() : from.data() + 2 * (pixels + gap);
        std::vector<T> to(3 * pixels + 8, T{0xA5}), want = to;
        for (size_t i = 0; i < pixels; ++i)
          for (ptrdiff_t c = 0; c < 3; ++c) want[3 * i + static_cast<size_t>(c)] = first[c * plane + static_cast<ptrdiff_t>(i)];
        interleave3(to.data(), first, plane, pixels);
        ASSERT_EQ(to, want) << pixels << " pixels, planes " << plane << " apart";
      }
    }
}

TEST(Interleave, Bytes) { check<uint8_t>(); }
TEST(Interleave, Words) { check<uint32_t>(); }

}  // namespace
}  // namespace bitwright
