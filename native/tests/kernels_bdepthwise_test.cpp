// Every depthwise kernel against a brute-force oracle: counts, and thresholds taken in registers.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

struct Shape {
  uint32_t pixels, taps, words;
};

class DepthwiseKernelTest : public testing::TestWithParam<const DepthwiseKernel*> {
 protected:
  // A row of words as lanes: docs in kernel.h.
  static std::vector<uint32_t> lanes_of(const std::vector<uint32_t>& row) {
    const auto words = static_cast<uint32_t>(row.size());
    std::vector<uint32_t> lanes(depthwise_lanes(words));
    const uint32_t used = words < 16 ? 16 / words * words : words;
    for (uint32_t l = 0; l < used; ++l) lanes[l] = row[l % words];
    return lanes;
  }

  static void put(uint32_t* to, const std::vector<uint32_t>& lanes) { std::copy(lanes.begin(), lanes.end(), to); }

  // fill: 0 random, 1 all bits differ, 2 no bit differs.
  void check(const Shape& s, int fill, uint32_t seed) {
    const DepthwiseKernel& k = *GetParam();
    Random random(seed);
    const uint32_t lanes = depthwise_lanes(s.words), channels = s.words * 32;
    // The input ends with the last word that a tap of the last pixel reads.
    std::vector<int32_t> offset(s.taps);
    const uint32_t before = below(random, 3) * s.words;
    int32_t last = 0;
    for (int32_t& o : offset) {
      o = static_cast<int32_t>(below(random, 2 * s.taps + 1) * s.words) - static_cast<int32_t>(before);
      last = std::max(last, o);
    }
    std::vector<uint32_t> input(before + static_cast<uint32_t>(last) + s.pixels * s.words);
    for (uint32_t& w : input) w = fill == 0 ? random() : fill == 1 ? 0xffffffffu : 0;
    std::vector<std::vector<uint32_t>> weights(s.taps, std::vector<uint32_t>(s.words));
    Aligned<uint32_t> packed(static_cast<size_t>(s.taps) * lanes);
    for (uint32_t t = 0; t < s.taps; ++t) {
      for (uint32_t& w : weights[t]) w = fill == 0 ? random() : 0;
      put(packed.data() + static_cast<size_t>(t) * lanes, lanes_of(weights[t]));
    }
    const DepthwiseRun run{input.data() + before, offset.data(), s.pixels, s.taps, s.words, packed.data()};
    const size_t stride = channels + below(random, 3);
    std::vector<uint16_t> counts(s.pixels * stride, 0x5a5a);
    k.count16(counts.data(), stride, run);
    std::vector<uint32_t> expected(s.pixels * channels);
    for (uint32_t i = 0; i < s.pixels; ++i)
      for (uint32_t c = 0; c < stride; ++c) {
        if (c >= channels) {
          ASSERT_EQ(counts[i * stride + c], 0x5a5a) << "an element past the channels was written";
          continue;
        }
        uint32_t& sum = expected[i * channels + c];
        for (uint32_t t = 0; t < s.taps; ++t)
          sum += (input[before + static_cast<size_t>(offset[t] + static_cast<int32_t>(i * s.words + c / 32))] ^ weights[t][c / 32]) >> (c % 32) & 1;
        ASSERT_EQ(counts[i * stride + c], sum) << "pixel " << i << " of " << s.pixels << ", channel " << c << ", words " << s.words << ", taps " << s.taps;
      }
    if (s.taps > kMostDepthwiseTaps) return;

    // One bound for all, or one of three a pixel, put together by blocks.
    const uint32_t planes = depthwise_planes(s.taps), in_block = k.block / s.words;
    const bool several = in_block > 1 && below(random, 2) == 1;
    std::vector<std::vector<uint32_t>> bound(several ? 3 : 1, std::vector<uint32_t>(channels));
    for (auto& of : bound)
      for (uint32_t& b : of) b = below(random, s.taps + 2);
    std::vector<uint32_t> bound_of_pixel(s.pixels), flip(s.words), real(s.words);
    for (uint32_t& b : bound_of_pixel) b = below(random, static_cast<uint32_t>(bound.size()));
    for (uint32_t& w : flip) w = random();
    for (uint32_t& w : real) w = random() | random();
    const auto plane_of = [&](uint32_t which, uint32_t plane) {
      std::vector<uint32_t> row(s.words);
      for (uint32_t c = 0; c < channels; ++c) row[c / 32] |= (bound[which][c] >> plane & 1) << (c % 32);
      return row;
    };
    const uint32_t blocks = several ? (s.pixels + in_block - 1) / in_block : 1;
    Aligned<uint32_t> bounds(static_cast<size_t>(blocks) * planes * lanes), flips(lanes), reals(lanes);
    std::vector<uint32_t> bound_of(blocks);
    for (uint32_t block = 0; block < blocks; ++block) {
      bound_of[block] = blocks - 1 - block;  // in any order
      for (uint32_t plane = 0; plane < planes; ++plane) {
        uint32_t* to = bounds.data() + (static_cast<size_t>(bound_of[block]) * planes + plane) * lanes;
        if (!several) put(to, lanes_of(plane_of(0, plane)));
        for (uint32_t i = 0; several && i < in_block && block * in_block + i < s.pixels; ++i)
          put(to + i * s.words, plane_of(bound_of_pixel[block * in_block + i], plane));
      }
    }
    put(flips.data(), lanes_of(flip));
    put(reals.data(), lanes_of(real));
    const size_t out_stride = s.words + below(random, 2);
    std::vector<uint32_t> out(s.pixels * out_stride, 0x5a5a5a5au);
    k.bits(out.data(), out_stride, run, {bounds.data(), flips.data(), reals.data(), several ? bound_of.data() : nullptr});
    for (uint32_t i = 0; i < s.pixels; ++i) {
      for (uint32_t c = 0; c < channels; ++c) {
        const uint32_t bit = (static_cast<uint32_t>(expected[i * channels + c] < bound[bound_of_pixel[i]][c]) ^ (flip[c / 32] >> (c % 32))) & (real[c / 32] >> (c % 32)) & 1;
        ASSERT_EQ(out[i * out_stride + c / 32] >> (c % 32) & 1, bit) << "pixel " << i << ", channel " << c << ", words " << s.words << ", taps " << s.taps;
      }
      if (out_stride > s.words) {
        ASSERT_EQ(out[i * out_stride + s.words], 0x5a5a5a5au);
      }
    }
  }
};

TEST_P(DepthwiseKernelTest, EveryNumberOfTaps) {
  for (uint32_t taps = 1; taps <= 64; ++taps) check({3, taps, 2}, 0, taps);
}

TEST_P(DepthwiseKernelTest, EveryNumberOfWordsAndPixels) {
  for (uint32_t words = 1; words <= 40; ++words)
    for (uint32_t pixels : {1u, 2u, 3u, 5u, 8u, 15u, 16u, 17u, 33u}) check({pixels, 9, words}, 0, 100 * words + pixels);
}

TEST_P(DepthwiseKernelTest, RandomShapes) {
  Random random(3);
  for (uint32_t round = 0; round < 1000; ++round)
    check({between(random, 1, 40), between(random, 1, round % 4 == 0 ? 140 : 18), between(random, 1, 20)}, 0, 5000 + round);
}

TEST_P(DepthwiseKernelTest, Extremes) {
  for (const Shape& s : {Shape{5, 15, 3}, Shape{2, 16, 1}, Shape{1, 9, 16}, Shape{3, 127, 2}, Shape{2, 128, 1}, Shape{3, 3000, 1}, Shape{1, 65535, 1}})
    for (int fill : {1, 2}) check(s, fill, 9);
}

INSTANTIATE_TEST_SUITE_P(Kernels, DepthwiseKernelTest, testing::ValuesIn(supported(depthwise_kernels())), kernel_name<DepthwiseKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
