// Every int8 convolution kernel against a scalar oracle in 64 bits, modulo 2^32: equal, no tolerance.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

enum class Numbers { kRandom, kExtreme, kAllExtreme };

uint8_t activation(Random& r, Numbers numbers) {
  if (numbers == Numbers::kAllExtreme) return 255;
  return numbers == Numbers::kExtreme && below(r, 2) == 0 ? (below(r, 2) == 0 ? 255 : 0) : static_cast<uint8_t>(below(r, 256));
}

int8_t weight(Random& r, Numbers numbers) {
  if (numbers == Numbers::kAllExtreme) return -128;
  if (numbers == Numbers::kExtreme && below(r, 2) == 0) return below(r, 2) == 0 ? 127 : -128;
  return static_cast<int8_t>(static_cast<int>(below(r, 256)) - 128);
}

class Int8KernelTest : public testing::TestWithParam<const Int8Kernel*> {
 protected:
  void check(uint32_t pixels, uint32_t outputs, uint32_t taps, uint32_t channels, Numbers numbers, uint32_t seed) {
    const Int8Kernel& k = *GetParam();
    Random random(seed);
    const size_t steps = static_cast<size_t>(taps) * channels;
    const uint32_t inputs = between(random, 1, taps + pixels);
    // As the engine promises: 64 bytes may be read past the end. What is there must not count.
    std::vector<uint8_t> input(static_cast<size_t>(inputs) * channels + 64);
    std::vector<int8_t> weights(outputs * steps);
    for (uint8_t& x : input) x = activation(random, numbers);
    for (int8_t& w : weights) w = weight(random, numbers);
    std::vector<std::vector<int32_t>> offsets(pixels, std::vector<int32_t>(taps));
    std::vector<const int32_t*> offset(pixels);
    std::vector<const uint8_t*> base(pixels, input.data());
    for (uint32_t i = 0; i < pixels; ++i) {
      for (int32_t& o : offsets[i]) o = static_cast<int32_t>(below(random, inputs) * channels);
      offset[i] = offsets[i].data();
    }
    const uint32_t panels = (outputs + k.panel - 1) / k.panel;
    const size_t bytes = k.panel_bytes(taps, channels);
    ASSERT_EQ(bytes % 64, 0u);
    Aligned<uint8_t> packed(bytes * panels);
    k.pack(packed.data(), weights.data(), outputs, taps, channels);
    for (uint32_t panel = 0; panel < panels; ++panel) {
      Aligned<int32_t> out(pixels * k.panel);
      k.run(out.data(), Int8Tile{base.data(), offset.data(), pixels, taps, channels, packed.data() + panel * bytes});
      for (uint32_t i = 0; i < pixels; ++i)
        for (uint32_t j = 0; j < k.panel && panel * k.panel + j < outputs; ++j) {
          int64_t sum = 0;
          for (uint32_t tap = 0; tap < taps; ++tap)
            for (uint32_t c = 0; c < channels; ++c)
              sum += int64_t{input[static_cast<size_t>(offsets[i][tap]) + c]} * weights[(panel * k.panel + j) * steps + tap * channels + c];
          ASSERT_EQ(static_cast<uint32_t>(out.data()[i * k.panel + j]), static_cast<uint32_t>(sum))
              << "pixel " << i << " of " << pixels << ", output " << panel * k.panel + j << " of " << outputs << ", taps " << taps
              << ", channels " << channels;
        }
    }
  }
};

TEST_P(Int8KernelTest, EveryNumberOfPixelsTapsAndChannels) {
  uint32_t seed = 1;
  for (uint32_t pixels = 1; pixels <= GetParam()->mr; ++pixels)
    for (uint32_t taps : {1u, 2u, 9u, 49u})
      for (uint32_t channels : {1u, 2u, 3u, 4u, 5u, 7u, 16u, 33u, 64u})
        for (Numbers numbers : {Numbers::kRandom, Numbers::kExtreme}) check(pixels, 37, taps, channels, numbers, ++seed);
}

TEST_P(Int8KernelTest, EveryTailOfOutputs) {
  for (uint32_t outputs = 1; outputs <= 140; ++outputs) check(GetParam()->mr, outputs, 3, 5, Numbers::kExtreme, outputs);
}

TEST_P(Int8KernelTest, EveryChannelCount) {
  for (uint32_t channels = 1; channels <= 140; ++channels) check(3, 33, 2, channels, Numbers::kRandom, channels);
}

TEST_P(Int8KernelTest, LargestSums) {  // 255 * -128 everywhere: what 16-bit intermediate sums would cut
  for (uint32_t pixels : {1u, 2u, GetParam()->mr}) {
    for (uint32_t channels : {1u, 2u, 3u, 64u, 1000u}) check(pixels, 40, 9, channels, Numbers::kAllExtreme, channels);
    check(pixels, 3, 1, 65535, Numbers::kAllExtreme, 1);
    check(pixels, 3, 1, 65535, Numbers::kExtreme, 1);
  }
}

TEST_P(Int8KernelTest, SmallWeights) {  // where products of pairs fit 16 bits, a kernel may take a faster way
  const Int8Kernel& k = *GetParam();
  Random random(3);
  for (int limit : {1, 63, 64, 65}) {
    const uint32_t taps = 5, channels = 22, outputs = 2 * k.panel;
    std::vector<uint8_t> input(taps * channels + 64, 255);
    std::vector<int8_t> weights(outputs * taps * channels);
    for (int8_t& w : weights) w = static_cast<int8_t>(below(random, 2) == 0 ? -limit : limit);
    for (size_t i = 0; i < weights.size() / 2; ++i) weights[i] = static_cast<int8_t>(below(random, 2) == 0 ? limit : 0);
    std::vector<int32_t> offset(taps);
    for (uint32_t t = 0; t < taps; ++t) offset[t] = static_cast<int32_t>(t * channels);
    const int32_t* offsets = offset.data();
    const uint8_t* base = input.data();
    Aligned<uint8_t> packed(2 * k.panel_bytes(taps, channels));
    k.pack(packed.data(), weights.data(), outputs, taps, channels);
    for (uint32_t panel = 0; panel < 2; ++panel) {
      Aligned<int32_t> out(k.panel);
      k.run(out.data(), Int8Tile{&base, &offsets, 1, taps, channels, packed.data() + panel * k.panel_bytes(taps, channels)});
      for (uint32_t j = 0; j < k.panel; ++j) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < taps * channels; ++i) sum += 255 * weights[(panel * k.panel + j) * taps * channels + i];
        ASSERT_EQ(out.data()[j], sum) << "limit " << limit << ", channel " << j;
      }
    }
  }
}

// Stretches of rows, and their maxima: windows of 3 pixels every 2, from one pixel before the first on.
TEST_P(Int8KernelTest, Lines) {
  const Int8Kernel& k = *GetParam();
  if (k.lines == nullptr) GTEST_SKIP() << "this kernel has no lines";
  for (uint32_t seed = 0; seed < 1500; ++seed) {
    Random random(seed);
    const Numbers numbers = static_cast<Numbers>(below(random, 3));
    const uint32_t taps = between(random, 1, 11), pixels = between(random, 1, 70), outputs = between(random, 1, k.panel);
    const uint32_t channels = below(random, 2) == 0 ? between(random, 1, 34) : 4 * between(random, 1, 8) + 1;
    const size_t step = between(random, 1, below(random, 3) == 0 ? 100 : 12), row = (pixels + kLinePixels) * step + channels + 128;
    std::vector<uint8_t> input(row * taps);
    std::vector<int8_t> weights(size_t{outputs} * taps * channels);
    for (uint8_t& x : input) x = activation(random, numbers);
    for (int8_t& w : weights) w = weight(random, numbers);
    std::vector<const uint8_t*> line;
    for (uint32_t t = 0; t < taps; ++t) line.push_back(input.data() + t * row);
    Aligned<uint8_t> packed(k.panel_bytes(taps, channels));
    k.pack(packed.data(), weights.data(), outputs, taps, channels);
    std::vector<std::vector<int32_t>> origins(2, std::vector<int32_t>(k.panel));
    for (auto& o : origins)
      for (int32_t& x : o) x = static_cast<int32_t>(random()) >> 8;
    std::vector<const int32_t*> origin;
    for (uint32_t i = 0; i < pixels + kLinePixels; ++i) origin.push_back(origins[below(random, 2)].data());
    std::vector<uint8_t> spare(k.lines_spare(taps, channels, pixels));
    Int8Lines job{line.data(), step, pixels, taps, channels, packed.data(), origin.data(), spare.data()};

    std::vector<int32_t> want(size_t{pixels} * k.panel);
    for (uint32_t i = 0; i < pixels; ++i)
      for (uint32_t j = 0; j < outputs; ++j) {
        int32_t sum = origin[i][j];
        for (uint32_t t = 0; t < taps; ++t)
          for (uint32_t c = 0; c < channels; ++c) sum += int32_t{line[t][i * step + c]} * weights[(size_t{j} * taps + t) * channels + c];
        want[size_t{i} * k.panel + j] = sum;
      }
    const size_t most = pixels + kLinePixels - 1;
    Aligned<int32_t> out(most / kLinePixels * kLinePixels * k.panel);
    k.lines(out.data(), job);
    for (uint32_t i = 0; i < pixels; ++i)
      for (uint32_t j = 0; j < outputs; ++j) ASSERT_EQ(out.data()[i * k.panel + j], want[i * k.panel + j]) << "seed " << seed << ", pixel " << i << ", output " << j;

    const size_t half = ((pixels + 1) / 2 + kLinePixels / 2 - 1) / (kLinePixels / 2) * (kLinePixels / 2) * k.panel;
    Aligned<int32_t> into(half), fresh(half);
    std::vector<int32_t> before(half);
    for (size_t i = 0; i < half; ++i) into.data()[i] = before[i] = static_cast<int32_t>(random()) >> 8;
    const bool both = below(random, 2) == 0, only = below(random, 2) == 0;
    job.again = below(random, 2) == 0;
    k.maxima({both || only ? into.data() : nullptr, both || !only ? fresh.data() : nullptr}, job);
    for (uint32_t i = 0; i < (pixels + 1) / 2; ++i)
      for (uint32_t j = 0; j < outputs; ++j) {
        int32_t most_of = want[size_t{2 * i} * k.panel + j];
        if (i > 0) most_of = std::max(most_of, want[size_t{2 * i - 1} * k.panel + j]);
        if (2 * i + 1 < pixels) most_of = std::max(most_of, want[size_t{2 * i + 1} * k.panel + j]);
        if (both || !only) {
          ASSERT_EQ(fresh.data()[i * k.panel + j], most_of) << "seed " << seed << ", window " << i << ", output " << j;
        }
        if (both || only) {
          ASSERT_EQ(into.data()[i * k.panel + j], std::max(most_of, before[i * k.panel + j])) << "seed " << seed << ", window " << i;
        }
      }
  }
}

TEST_P(Int8KernelTest, Depthwise) {
  const Int8Kernel& k = *GetParam();
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Random random(seed);
    const Numbers numbers = static_cast<Numbers>(below(random, 3));
    const uint32_t pixels = between(random, 1, k.mr), taps = between(random, 1, 26), inputs = between(random, 1, 9);
    const uint32_t channels = below(random, 2) == 0 ? k.panel : between(random, 1, k.panel), stride = channels + below(random, 70);
    Aligned<uint8_t> input(static_cast<size_t>(inputs) * stride + 64);
    Aligned<int8_t> weights((static_cast<size_t>(taps) * k.panel + 63) / 64 * 64);
    Aligned<int32_t> out(pixels * k.panel);
    for (size_t i = 0; i < static_cast<size_t>(inputs) * stride + 64; ++i) input.data()[i] = activation(random, numbers);
    for (uint32_t i = 0; i < taps * k.panel; ++i) weights.data()[i] = i % k.panel < channels ? weight(random, numbers) : int8_t{0};
    std::vector<std::vector<int32_t>> offsets(pixels, std::vector<int32_t>(taps));
    std::vector<const int32_t*> offset;
    for (auto& row : offsets) {
      for (int32_t& o : row) o = static_cast<int32_t>(below(random, inputs) * stride);
      offset.push_back(row.data());
    }
    const std::vector<const uint8_t*> base(pixels, input.data());
    k.depthwise(out.data(), Int8Tile{base.data(), offset.data(), pixels, taps, channels, weights.data()});
    for (uint32_t i = 0; i < pixels; ++i)
      for (uint32_t j = 0; j < channels; ++j) {
        int32_t sum = 0;
        for (uint32_t t = 0; t < taps; ++t) sum += int32_t{input.data()[offsets[i][t] + static_cast<int32_t>(j)]} * weights.data()[t * k.panel + j];
        ASSERT_EQ(out.data()[i * k.panel + j], sum) << "seed " << seed << ", pixel " << i << ", channel " << j;
      }
  }
}

TEST_P(Int8KernelTest, Gather) {
  const Int8Kernel& k = *GetParam();
  for (uint32_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const uint32_t pixels = between(random, 1, 128), size = between(random, 200, 1000);
    std::vector<uint8_t> input(size + 64);
    for (uint8_t& x : input) x = static_cast<uint8_t>(random());
    std::vector<std::vector<GatherRun>> runs(pixels);
    std::vector<GatherWindow> windows(pixels);
    std::vector<uint8_t> want;
    const uint32_t n_runs = between(random, 1, 9);
    std::vector<uint32_t> bytes(n_runs);
    uint32_t row = 0;
    for (uint32_t& n : bytes) row += n = between(random, 1, 100);
    const size_t row_bytes = (row + 3) / 4 * 4;
    for (uint32_t i = 0; i < pixels; ++i) {
      const auto origin = static_cast<int32_t>(below(random, size));
      for (uint32_t n : bytes) {
        const auto at = static_cast<int32_t>(below(random, size - n + 1));
        const bool fixed = below(random, 3) == 0;
        runs[i].push_back({fixed ? at : at - origin, n, fixed});
        want.insert(want.end(), input.begin() + at, input.begin() + at + static_cast<int32_t>(n));
      }
      windows[i] = {input.data() + origin, input.data(), runs[i].data(), n_runs};
    }
    std::vector<uint8_t> rows(pixels * row_bytes + 64);
    k.gather(rows.data(), row_bytes, windows.data(), pixels);
    for (uint32_t i = 0; i < pixels; ++i)
      ASSERT_EQ(std::memcmp(rows.data() + i * row_bytes, want.data() + static_cast<size_t>(i) * row, row), 0) << "seed " << seed << ", window " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Int8KernelTest, testing::ValuesIn(supported(int8_kernels())), kernel_name<Int8Kernel>);

}  // namespace
}  // namespace bitwright::kernels_test
