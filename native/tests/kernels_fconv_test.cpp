// Every float convolution kernel against a double-precision reference: 1e-5 of the sum of absolute products.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

class FloatKernelTest : public testing::TestWithParam<const FloatKernel*> {
 protected:
  void check(uint32_t pixels, uint32_t outputs, uint32_t taps, uint32_t channels, bool padding, uint32_t seed) {
    const FloatKernel& k = *GetParam();
    Random random(seed);
    const size_t steps = static_cast<size_t>(taps) * channels;
    const uint32_t inputs = between(random, 1, taps + pixels);
    std::vector<float> input(static_cast<size_t>(inputs) * channels), weights(outputs * steps);
    for (float& x : input) x = normal(random);
    for (float& w : weights) w = normal(random);
    std::vector<std::vector<int32_t>> offsets(pixels, std::vector<int32_t>(taps));
    std::vector<const int32_t*> offset(pixels);
    std::vector<const float*> base(pixels, input.data());
    for (uint32_t i = 0; i < pixels; ++i) {
      for (int32_t& o : offsets[i]) o = padding && below(random, 3) == 0 ? -1 : static_cast<int32_t>(below(random, inputs) * channels);
      offset[i] = offsets[i].data();
    }
    const uint32_t panels = (outputs + k.panel - 1) / k.panel;
    const size_t floats = k.panel_floats(taps, channels);
    ASSERT_EQ(floats % 16, 0u);
    Aligned<float> packed(floats * panels);
    k.pack(packed.data(), weights.data(), outputs, taps, channels);
    for (uint32_t panel = 0; panel < panels; ++panel) {
      Aligned<float> out(pixels * k.panel);
      k.run(out.data(), FloatTile{base.data(), offset.data(), pixels, taps, channels, packed.data() + panel * floats});
      for (uint32_t i = 0; i < pixels; ++i)
        for (uint32_t j = 0; j < k.panel && panel * k.panel + j < outputs; ++j) {
          double sum = 0, size = 0;
          for (uint32_t tap = 0; tap < taps; ++tap)
            for (uint32_t c = 0; c < channels && offsets[i][tap] >= 0; ++c) {
              const double product = static_cast<double>(input[static_cast<size_t>(offsets[i][tap]) + c]) *
                                     weights[(panel * k.panel + j) * steps + tap * channels + c];
              sum += product;
              size += std::fabs(product);
            }
          ASSERT_NEAR(out.data()[i * k.panel + j], sum, 1e-5 * size)
              << "pixel " << i << " of " << pixels << ", output " << panel * k.panel + j << " of " << outputs << ", taps " << taps
              << ", channels " << channels;
        }
    }
  }
};

TEST_P(FloatKernelTest, EveryNumberOfPixelsTapsAndChannels) {
  uint32_t seed = 1;
  for (uint32_t pixels = 1; pixels <= GetParam()->mr; ++pixels)
    for (uint32_t taps : {1u, 2u, 9u, 49u})
      for (uint32_t channels : {1u, 2u, 3u, 4u, 7u, 16u, 33u}) {
        ++seed;
        check(pixels, 17, taps, channels, seed % 2 == 0, seed);
      }
}

TEST_P(FloatKernelTest, EveryTailOfOutputs) {
  for (uint32_t outputs = 1; outputs <= 70; ++outputs) check(GetParam()->mr, outputs, 3, 5, true, outputs);
}

TEST_P(FloatKernelTest, LongChannels) {  // longer than the block of zeros that stands for padding
  for (uint32_t channels : {511u, 512u, 513u, 1300u, 4608u}) check(GetParam()->mr, 3, 3, channels, true, channels);
}

TEST_P(FloatKernelTest, AllTapsInThePadding) {
  const FloatKernel& k = *GetParam();
  const std::vector<int32_t> none(9, -1);
  const std::vector<const int32_t*> offset(k.mr, none.data());
  const std::vector<const float*> base(k.mr, nullptr);
  Aligned<float> packed(k.panel_floats(9, 20)), out(k.mr * k.panel);
  const std::vector<float> weights(k.panel * 180, 2.0f);
  k.pack(packed.data(), weights.data(), k.panel, 9, 20);
  k.run(out.data(), FloatTile{base.data(), offset.data(), k.mr, 9, 20, packed.data()});
  for (uint32_t i = 0; i < k.mr * k.panel; ++i) ASSERT_EQ(out.data()[i], 0.0f);
}

TEST_P(FloatKernelTest, Depthwise) {
  const FloatKernel& k = *GetParam();
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Random random(seed);
    const uint32_t pixels = between(random, 1, k.mr), taps = between(random, 1, 26), inputs = between(random, 1, 9);
    const uint32_t channels = below(random, 4) == 0 ? k.panel : between(random, 1, k.panel), stride = channels + below(random, 70);
    // Exactly as long as what may be read: a sanitizer sees a read past it.
    std::vector<float> input(static_cast<size_t>(inputs - 1) * stride + channels);
    Aligned<float> weights(static_cast<size_t>(taps) * k.panel), out(pixels * k.panel);
    for (float& x : input) x = normal(random);
    for (uint32_t i = 0; i < taps * k.panel; ++i) weights.data()[i] = i % k.panel < channels ? normal(random) : 0.0f;
    std::vector<std::vector<int32_t>> offsets(pixels, std::vector<int32_t>(taps));
    std::vector<const int32_t*> offset;
    for (auto& row : offsets) {
      for (int32_t& o : row) o = below(random, 4) == 0 ? -1 : static_cast<int32_t>(below(random, inputs) * stride);
      offset.push_back(row.data());
    }
    const std::vector<const float*> base(pixels, input.data());
    k.depthwise(out.data(), FloatTile{base.data(), offset.data(), pixels, taps, channels, weights.data()});
    for (uint32_t i = 0; i < pixels; ++i)
      for (uint32_t j = 0; j < channels; ++j) {
        double sum = 0, size = 0;
        for (uint32_t t = 0; t < taps; ++t) {
          if (offsets[i][t] < 0) continue;
          const double product = static_cast<double>(input[static_cast<size_t>(offsets[i][t]) + j]) * weights.data()[t * k.panel + j];
          sum += product;
          size += std::fabs(product);
        }
        ASSERT_NEAR(out.data()[i * k.panel + j], sum, 1e-5 * size) << "seed " << seed << ", pixel " << i << ", channel " << j << " of " << channels;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, FloatKernelTest, testing::ValuesIn(supported(float_kernels())), kernel_name<FloatKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
