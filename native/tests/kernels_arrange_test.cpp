// Words brought into order by permutations, and rows of words transposed, against loops.
#include <set>

#include "arrange.h"
#include "arrangement.h"
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

std::set<Arrangement::Kernel> arrange_kernels() {
  std::set<Arrangement::Kernel> found{nullptr};  // word by word
  for (const BinaryKernel* const* list = binary_kernels(); *list != nullptr; ++list)
    if ((*list)->pixels != nullptr && (*list)->supported()) found.insert((*(*list)->pixels)->arrange);
  for (const DepthwiseKernel* const* list = depthwise_kernels(); *list != nullptr; ++list)
    if ((*list)->supported()) found.insert((*list)->arrange);
  return found;
}

TEST(Arrangement, EqualsALoop) {
  Random random(31);
  for (Arrangement::Kernel kernel : arrange_kernels())
    for (int n = 0; n < 4000; ++n) {
      SCOPED_TRACE(n);
      const uint32_t words = between(random, 1, 9), pixels = between(random, 1, 120), lines = between(random, 1, 4), runs = between(random, 1, 3);
      const uint32_t length = between(random, 1, 70), step = between(random, 1, 3);
      const bool planar = below(random, 2) == 0, padded = below(random, 2) == 0;
      std::vector<uint32_t> map((pixels + 1) * words);  // ends with the padding
      for (uint32_t& w : map) w = random();
      if (!padded) map.resize(pixels * words);
      Arrangement::Problem problem{{}, lines, length, words, planar, map.size(), padded ? static_cast<int32_t>(pixels * words) : -1, kernel};
      const uint32_t start = below(random, pixels);
      for (uint32_t i = 0; i < runs * lines * length; ++i) {
        const bool outside = padded && below(random, 5) == 0;
        const uint32_t pixel = below(random, 8) == 0 ? below(random, pixels) : (start + i * step) % pixels;
        problem.source.push_back(static_cast<int32_t>((outside ? pixels : pixel) * words));
      }
      const std::vector<int32_t> source = problem.source;
      const Arrangement arrangement(std::move(problem));
      const size_t line = length * (planar ? 1 : words) + kArrangeLanes, plane = lines * line + kArrangeLanes;
      std::vector<uint32_t> to(plane * words);
      for (uint32_t run = 0; run < runs; ++run) {
        arrangement.fill(map.data(), run, to.data(), line, plane);
        for (uint32_t l = 0; l < lines; ++l)
          for (uint32_t i = 0; i < length; ++i)
            for (uint32_t w = 0; w < words; ++w) {
              const size_t at = planar ? w * plane + l * line + i : l * line + i * words + w;
              ASSERT_EQ(to[at], map[static_cast<size_t>(source[(run * lines + l) * length + i]) + w]) << "line " << l << ", pixel " << i << ", word " << w;
            }
      }
    }
}

TEST(PixelKernels, TransposeEqualsALoop) {
  Random random(32);
  for (const BinaryKernel* const* list = binary_kernels(); *list != nullptr; ++list) {
    if ((*list)->pixels == nullptr || !(*list)->supported()) continue;
    for (uint32_t words = 1; words <= 40; ++words) {
      Aligned<uint32_t> rows(words * kPixelLanes);
      for (uint32_t i = 0; i < words * kPixelLanes; ++i) rows.data()[i] = random();
      std::vector<uint32_t> to(words * kPixelLanes + 4, 7);
      (*(*list)->pixels)->transpose(to.data(), rows.data(), words);
      for (uint32_t i = 0; i < kPixelLanes; ++i)
        for (uint32_t w = 0; w < words; ++w) ASSERT_EQ(to[i * words + w], rows.data()[w * kPixelLanes + i]) << "pixel " << i << ", word " << w << " of " << words;
      ASSERT_EQ(to.back(), 7u) << "more than 3 words behind the last pixel were written";
    }
  }
}

}  // namespace
}  // namespace bitwright::kernels_test
