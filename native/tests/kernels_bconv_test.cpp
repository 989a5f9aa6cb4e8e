// Every binary convolution kernel against one brute-force oracle.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

struct Shape {
  uint32_t pixels, outputs, taps, words;
};

uint32_t ones(uint32_t v) {
  uint32_t n = 0;
  for (; v != 0; v &= v - 1) ++n;
  return n;
}

class BinaryKernelTest : public testing::TestWithParam<const BinaryKernel*> {
 protected:
  // Thresholds in registers, against counts that have been checked: limits at, above and below the counts, never and always.
  void check_bits(const BinaryTile& tile, const uint16_t* counts, uint32_t channels, Random& random) {
    const BinaryKernel& k = *GetParam();
    const uint32_t words = (channels + 31) / 32, most = tile.taps * tile.words * 32;
    const uint32_t channel = below(random, 3) * 32;  // where the tile begins in the rows
    std::vector<std::vector<int32_t>> classes(between(random, 1, 3), std::vector<int32_t>(channel + k.panel));
    for (auto& row : classes)
      for (uint32_t j = 0; j < k.panel; ++j) {
        const auto near = static_cast<int32_t>(counts[below(random, tile.pixels) * k.panel + j % channels]);
        const int32_t choices[] = {-1, 0, static_cast<int32_t>(most), near, near - 1, std::min<int32_t>(near + 1, static_cast<int32_t>(most))};
        row[channel + j] = choices[below(random, 6)];
      }
    std::vector<const int32_t*> limit;
    for (uint32_t i = 0; i < tile.pixels; ++i) limit.push_back(classes[below(random, static_cast<uint32_t>(classes.size()))].data());
    std::vector<uint32_t> flip(words), out(tile.pixels * (words + 1), 0x5a5a5a5au);
    for (uint32_t& w : flip) w = random();
    std::vector<uint32_t*> rows, given;
    for (uint32_t i = 0; i < tile.pixels; ++i) rows.push_back(out.data() + i * (words + 1));
    const bool flips = below(random, 2) == 0;
    BinaryTile first = tile;  // of pixels together only the first entries are there
    given = rows;
    const uint32_t* const base = tile.base[0];
    const int32_t* const offset = tile.offset[0];
    if (tile.together) given.resize(1), first.base = &base, first.offset = &offset;
    k.bits(first, {limit.data(), flips ? flip.data() : nullptr, given.data(), channels, channel, words + 1});
    for (uint32_t i = 0; i < tile.pixels; ++i) {
      for (uint32_t j = 0; j < words * 32; ++j) {
        bool expected = false;
        if (j < channels) expected = (counts[i * k.panel + j] <= limit[i][channel + j]) != (flips && (flip[j / 32] >> (j % 32) & 1) != 0);
        ASSERT_EQ((rows[i][j / 32] >> (j % 32) & 1) != 0, expected) << "pixel " << i << ", channel " << j << " of " << channels;
      }
      ASSERT_EQ(rows[i][words], 0x5a5a5a5au) << "a word past the channels was written";
    }
  }

  // fill: 0 random, 1 all bits differ, 2 no bit differs.
  void check(const Shape& s, int fill, uint32_t seed) {
    const BinaryKernel& k = *GetParam();
    Random random(seed);
    const size_t steps = static_cast<size_t>(s.taps) * s.words;
    const uint32_t inputs = between(random, 1, s.taps + s.pixels);  // pixels of the input map
    std::vector<uint32_t> input(static_cast<size_t>(inputs) * s.words), weights(s.outputs * steps);
    for (uint32_t& w : input) w = fill == 0 ? random() : fill == 1 ? 0xffffffffu : 0;
    for (uint32_t& w : weights) w = fill == 0 ? random() : 0;
    // Offsets from a base in the middle of the map: both signs occur.
    const uint32_t middle = below(random, inputs);
    std::vector<int32_t> offsets(static_cast<size_t>(s.pixels) * s.taps);
    std::vector<const int32_t*> offset(s.pixels), backwards;
    std::vector<const uint32_t*> base(s.pixels, input.data() + static_cast<size_t>(middle) * s.words);
    for (uint32_t i = 0; i < s.pixels; ++i) {
      offset[i] = offsets.data() + static_cast<size_t>(i) * s.taps;
      for (uint32_t tap = 0; tap < s.taps; ++tap)
        offsets[static_cast<size_t>(i) * s.taps + tap] =
            (static_cast<int32_t>(below(random, inputs)) - static_cast<int32_t>(middle)) * static_cast<int32_t>(s.words);
    }
    backwards.assign(offset.rbegin(), offset.rend());  // pixels that are not together
    const uint32_t panels = (s.outputs + k.panel - 1) / k.panel;
    const size_t bytes = k.panel_bytes(s.taps, s.words);
    ASSERT_EQ(bytes % 64, 0u);
    Aligned<unsigned char> packed(bytes * panels);
    k.pack(packed.data(), weights.data(), s.outputs, s.taps, s.words);

    const bool fits16 = steps * 32 <= 65535;
    for (uint32_t both = 0; both < 2 * panels; ++both) {
      const uint32_t panel = both / 2;
      const bool together = both % 2 == 1;
      const BinaryTile tile{base.data(), together ? offset.data() : backwards.data(), s.pixels, s.taps, s.words, packed.data() + panel * bytes, together};
      Aligned<uint16_t> counts16(s.pixels * k.panel);
      Aligned<uint32_t> counts32(s.pixels * k.panel);
      if (fits16) k.count16(counts16.data(), tile);
      k.count32(counts32.data(), tile);
      for (uint32_t i = 0; i < s.pixels; ++i)
        for (uint32_t j = 0; j < k.panel && panel * k.panel + j < s.outputs; ++j) {
          uint32_t expected = 0;
          for (uint32_t tap = 0; tap < s.taps; ++tap)
            for (uint32_t word = 0; word < s.words; ++word)
              expected += ones(base[i][tile.offset[i][tap] + static_cast<int32_t>(word)] ^
                               weights[(panel * k.panel + j) * steps + tap * s.words + word]);
          const std::string where = "pixel " + std::to_string(i) + " of " + std::to_string(s.pixels) + ", output " +
                                    std::to_string(panel * k.panel + j) + " of " + std::to_string(s.outputs) + ", taps " +
                                    std::to_string(s.taps) + ", words " + std::to_string(s.words);
          if (fits16) {
            ASSERT_EQ(counts16.data()[i * k.panel + j], expected) << where;
          }
          ASSERT_EQ(counts32.data()[i * k.panel + j], expected) << where;
        }
      if (k.bits != nullptr && fits16) check_bits(tile, counts16.data(), std::min(k.panel, s.outputs - panel * k.panel), random);
    }
  }
};

TEST_P(BinaryKernelTest, PanelIsAMultipleOf32OrHalf) {
  EXPECT_GT(GetParam()->panel, 0u);
  EXPECT_TRUE(GetParam()->panel == 16 || GetParam()->panel % 32 == 0);
  EXPECT_GT(GetParam()->mr, 0u);
}

TEST_P(BinaryKernelTest, EveryNumberOfPixelsTapsAndWords) {
  uint32_t seed = 1;
  for (uint32_t pixels = 1; pixels <= GetParam()->mr; ++pixels)
    for (uint32_t taps : {1u, 2u, 3u, 9u, 10u})
      for (uint32_t words : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 15u}) check({pixels, 33, taps, words}, 0, seed++);
}

TEST_P(BinaryKernelTest, EveryTailOfOutputs) {
  for (uint32_t outputs = 1; outputs <= 130; ++outputs) check({GetParam()->mr, outputs, 3, 2}, 0, outputs);
}

TEST_P(BinaryKernelTest, RandomShapes) {
  Random random(7);
  for (uint32_t round = 0; round < 400; ++round)
    check({between(random, 1, GetParam()->mr), between(random, 1, 150), between(random, 1, 27), between(random, 1, 40)}, 0, 1000 + round);
}

TEST_P(BinaryKernelTest, LargestCountsOf16Bits) {
  const uint32_t three = std::min(GetParam()->mr, 3u);
  for (const Shape& s : {Shape{2, 3, 1, 2047}, Shape{GetParam()->mr, 2, 2047, 1}, Shape{three, 2, 23, 89}}) {
    check(s, 1, 3);  // 65504 differing bits
    check(s, 2, 4);
    check(s, 0, 5);
  }
}

TEST_P(BinaryKernelTest, CountsBeyond16Bits) {
  const uint32_t three = std::min(GetParam()->mr, 3u);
  for (const Shape& s : {Shape{2, 3, 1, 2048}, Shape{1, 2, 1, 5000}, Shape{three, 2, 3, 2100}, Shape{GetParam()->mr, 2, 2500, 1},
                         Shape{2, 2, 49, 64}, Shape{2, 2, 5, 2047}}) {
    check(s, 1, 3);
    check(s, 0, 5);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, BinaryKernelTest, testing::ValuesIn(kernels_and_tiles()), kernel_name<BinaryKernel>);

// Pixels in the lanes: thresholds at any bit, against sums of single bits.
class PixelKernelTest : public testing::TestWithParam<const BinaryKernel*> {
 protected:
  void check(Random& random) {
    const BinaryKernel& binary = *GetParam();
    const PixelKernel& k = **binary.pixels;
    const uint32_t taps = between(random, 1, 12), words = between(random, 1, 11), outputs = between(random, 1, 16), shift = below(random, 32);
    const size_t steps = size_t{taps} * words;
    const int kind = static_cast<int>(below(random, 4));  // 0 all bits differ, 1 none, else random
    const auto word = [&](bool ones) { return kind == 0 ? (ones ? 0xffffffffu : 0u) : kind == 1 ? 0u : static_cast<uint32_t>(random()); };
    std::vector<uint32_t> x(kPixelLanes + below(random, 300)), weights(outputs * steps);
    for (uint32_t& w : x) w = word(true);
    for (uint32_t& w : weights) w = word(false);
    std::vector<int32_t> offset(steps);
    for (int32_t& o : offset) o = static_cast<int32_t>(below(random, static_cast<uint32_t>(x.size()) - kPixelLanes + 1));

    Aligned<unsigned char> packed(binary.panel_bytes(taps, words));
    binary.pack(packed.data(), weights.data(), outputs, taps, words);
    constexpr uint32_t choices[] = {1, 16, 32, 64};
    const uint32_t classes = choices[below(random, 4)];
    Aligned<int32_t> limit(size_t{16} * classes);
    std::vector<uint32_t> pixel_class(kPixelLanes), counts(kPixelLanes * 16);
    for (uint32_t& c : pixel_class) c = below(random, classes);
    for (uint32_t i = 0; i < kPixelLanes; ++i)
      for (uint32_t j = 0; j < outputs; ++j)
        for (size_t step = 0; step < steps; ++step) counts[i * 16 + j] += ones(x[static_cast<size_t>(offset[step]) + i] ^ weights[j * steps + step]);
    for (uint32_t j = 0; j < 16; ++j)
      for (uint32_t c = 0; c < classes; ++c)
        limit.data()[j * classes + c] = static_cast<int32_t>(counts[below(random, kPixelLanes) * 16 + j % outputs]) + static_cast<int32_t>(below(random, 3)) - 1;
    const uint32_t flip = below(random, 2) == 0 ? 0 : random() & ((1u << outputs) - 1u);
    Aligned<uint32_t> rows(2 * kPixelLanes);
    std::vector<uint64_t> expected(kPixelLanes);
    const uint64_t own = ((uint64_t{1} << outputs) - 1) << shift;
    for (uint32_t i = 0; i < kPixelLanes; ++i) {
      expected[i] = ((uint64_t{random()} << 32) | random()) & ~own;  // what others put there stays
      rows.data()[i] = static_cast<uint32_t>(expected[i]);
      rows.data()[kPixelLanes + i] = static_cast<uint32_t>(expected[i] >> 32);
      for (uint32_t j = 0; j < outputs; ++j) {
        const int32_t bound = limit.data()[j * classes + (classes == 1 ? 0 : pixel_class[i])];
        const bool bit = (static_cast<int32_t>(counts[i * 16 + j]) <= bound) != ((flip >> j & 1) != 0);
        expected[i] |= uint64_t{bit} << (shift + j);
      }
    }
    Aligned<int32_t> origin(size_t{16} * classes);
    for (size_t n = 0; n < size_t{16} * classes; ++n) origin.data()[n] = -1 - limit.data()[n];
    k.bits({x.data(), offset.data(), steps, packed.data(), outputs, origin.data(), classes, pixel_class.data(), flip, rows.data(), shift});
    for (uint32_t i = 0; i < kPixelLanes; ++i)
      ASSERT_EQ((uint64_t{rows.data()[kPixelLanes + i]} << 32) | rows.data()[i], expected[i]) << "pixel " << i << ", outputs " << outputs << ", shift " << shift;
  }
};

std::vector<const BinaryKernel*> with_pixels_in_lanes() {
  std::vector<const BinaryKernel*> found;
  for (const BinaryKernel* const* list = binary_kernels(); *list != nullptr; ++list)
    if ((*list)->pixels != nullptr && (*list)->supported()) found.push_back(*list);
  return found;
}

TEST_P(PixelKernelTest, RandomTilesAreExact) {
  Random random(20);
  for (int i = 0; i < 5000; ++i) {
    SCOPED_TRACE(i);
    check(random);
    if (HasFatalFailure()) return;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PixelKernelTest);
INSTANTIATE_TEST_SUITE_P(All, PixelKernelTest, testing::ValuesIn(with_pixels_in_lanes()),
                         [](const testing::TestParamInfo<const BinaryKernel*>& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace bitwright::kernels_test
