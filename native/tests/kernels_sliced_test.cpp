// Every sliced kernel: whole layers, run by the engine with the kernel forced, against a scalar count of differing bits; and the invariants of
// bit-sliced counting (bitslice.h).
#include "kernels_common.h"

#include "functional.h"
#include "selection.h"
#include "session.h"

namespace bitwright::kernels_test {
namespace {

struct Layer {
  Geometry geometry;
  std::array<uint32_t, 3> in{1, 1, 1}, out{1, 1, 1};
  uint32_t channels = 1, outputs = 1, low = 0, batch = 1, threads = 1;

  std::string text() const {
    std::string s = "C " + std::to_string(channels) + " O " + std::to_string(outputs) + " groups " + std::to_string(geometry.groups) + " low " +
                    std::to_string(low) + " batch " + std::to_string(batch) + " threads " + std::to_string(threads) + " pad mode " +
                    std::to_string(static_cast<int>(geometry.pad_mode));
    for (int k = 0; k < 3; ++k)
      s += " | in " + std::to_string(in[k]) + " out " + std::to_string(out[k]) + " k " + std::to_string(geometry.kernel[k]) + " s " +
           std::to_string(geometry.stride[k]) + " d " + std::to_string(geometry.dilation[k]) + " p " + std::to_string(geometry.pad_begin[k]) + "," +
           std::to_string(geometry.pad_end[k]);
    return s;
  }
  // Fills `out`; false if the kernel does not fit.
  bool finish() {
    for (int k = 0; k < 3; ++k) {
      const int64_t room = int64_t{in[k]} + geometry.pad_begin[k] + geometry.pad_end[k] - static_cast<int64_t>(geometry.extent(k));
      if (room < 0) return false;
      out[k] = static_cast<uint32_t>(room / geometry.stride[k]) + 1;
    }
    return true;
  }
  size_t in_pixels() const { return size_t{in[0]} * in[1] * in[2]; }
  size_t out_pixels() const { return size_t{out[0]} * out[1] * out[2]; }
};

// One bit or level at a time, from the definition.
struct Numbers {
  std::vector<float> x;          // [batch][pixels][C], the level is x >= 0
  std::vector<uint8_t> weight;   // [O][taps][C/groups]
  std::vector<uint32_t> packed;
  std::vector<int32_t> acc;      // [batch][pixels][O]

  // fill: 0 random, 1 all bits differ, 2 none differs.
  Numbers(const Layer& l, int fill, Random& random) {
    const Geometry& g = l.geometry;
    const uint32_t per_group = l.channels / g.groups, words = (per_group + 31) / 32, taps = g.taps(), group_outputs = l.outputs / g.groups;
    x.resize(l.batch * l.in_pixels() * l.channels);
    weight.resize(size_t{l.outputs} * taps * per_group);
    for (float& v : x) v = fill == 0 ? (random() & 1 ? 1.0f : -1.0f) : 1.0f;
    for (uint8_t& w : weight) w = fill == 0 ? random() & 1 : fill == 2;
    packed.resize(size_t{l.outputs} * taps * words);
    for (size_t row = 0; row < size_t{l.outputs} * taps; ++row)
      for (uint32_t c = 0; c < per_group; ++c) packed[row * words + c / 32] |= uint32_t{weight[row * per_group + c]} << (c % 32);
    std::vector<int64_t> from(taps);
    for (uint32_t n = 0; n < l.batch; ++n)
      for (uint32_t d = 0; d < l.out[0]; ++d)
        for (uint32_t h = 0; h < l.out[1]; ++h)
          for (uint32_t w = 0; w < l.out[2]; ++w) {
            const uint32_t o[3] = {d, h, w};
            for (uint32_t t = 0; t < taps; ++t) {
              const uint32_t k[3] = {t / (g.kernel[1] * g.kernel[2]), t / g.kernel[2] % g.kernel[1], t % g.kernel[2]};
              int64_t at = 0;
              bool inside = true;
              for (int i = 0; i < 3; ++i) {
                int64_t q = int64_t{o[i]} * g.stride[i] + int64_t{k[i]} * g.dilation[i] - g.pad_begin[i];
                if (g.pad_mode == PadMode::kReplicate) q = std::clamp<int64_t>(q, 0, int64_t{l.in[i]} - 1);
                inside = inside && q >= 0 && q < l.in[i];
                at = at * l.in[i] + q;
              }
              from[t] = inside ? at : -1;
            }
            for (uint32_t c = 0; c < l.outputs; ++c) {
              int32_t sum = 0;
              const uint32_t group = c / group_outputs;
              for (uint32_t t = 0; t < taps; ++t)
                for (uint32_t i = 0; i < per_group; ++i) {
                  int level = 0;
                  if (from[t] >= 0)
                    level = x[(n * l.in_pixels() + static_cast<size_t>(from[t])) * l.channels + group * per_group + i] >= 0 ? 1 : l.low ? 0 : -1;
                  else if (g.pad_mode == PadMode::kOne)
                    level = 1;
                  else if (g.pad_mode == PadMode::kMinusOne)
                    level = l.low ? 0 : -1;
                  sum += weight[(size_t{c} * taps + t) * per_group + i] ? level : -level;
                }
              acc.push_back(sum);
            }
          }
  }
};

struct Arrays : Storage {
  std::vector<uint32_t> weight, flip;
  std::vector<int32_t> limit;
};

uint32_t add_value(Model& m, DType dtype, const std::array<uint32_t, 3>& size, uint32_t channels, uint32_t groups, const char* role) {
  ValueInfo v;
  v.dtype = dtype;
  v.dims = {size[0], size[1], size[2], channels};
  v.groups = groups;
  v.name = role;
  v.is_input = v.name == "x";
  v.is_output = v.name == "y";
  if (v.is_input || v.is_output) v.axes = {1, 2, 3, 4};
  v.bytes = value_bytes(v, m.limits.arena_bytes, "value");
  v.offset = m.values.empty() ? 0 : m.values.back().offset + m.values.back().bytes;
  m.values.push_back(v);
  return static_cast<uint32_t>(m.values.size() - 1);
}

// x -> bits -> convolution -> y (accumulators), or -> threshold -> bits of `out_groups` -> y as -1 and 1.
std::shared_ptr<const Model> make_model(const Layer& l, const Numbers& numbers, const std::vector<int32_t>* limit, const std::vector<uint32_t>& flip,
                                        uint32_t out_groups) {
  auto m = std::make_shared<Model>();
  auto arrays = std::make_shared<Arrays>();
  arrays->weight = numbers.packed;
  arrays->flip = flip;
  const uint32_t x = add_value(*m, DType::kF32, l.in, l.channels, 1, "x");
  const uint32_t bits = add_value(*m, DType::kBits, l.in, l.channels, l.geometry.groups, "");
  m->constants.push_back({ConstType::kU32, arrays->weight.size(), arrays->weight.data()});
  OpInfo pack;
  pack.opcode = Opcode::kMap;
  pack.in = x;
  pack.steps.push_back({StepKind::kStoreBits, bits, kNone, kNone, 0, 0, 0});
  m->ops.push_back(pack);
  OpInfo conv;
  conv.opcode = Opcode::kBconv;
  conv.in = bits;
  conv.weight = 0;
  conv.out_channels = l.outputs;
  conv.low = l.low;
  conv.out = l.out;
  conv.geometry = l.geometry;
  if (!limit) {
    const uint32_t y = add_value(*m, DType::kF32, l.out, l.outputs, 1, "y");
    conv.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
    m->ops.push_back(conv);
  } else {
    arrays->limit = *limit;
    const uint32_t then = add_value(*m, DType::kBits, l.out, l.outputs, out_groups, "");
    const uint32_t y = add_value(*m, DType::kF32, l.out, l.outputs, 1, "y");
    m->constants.push_back({ConstType::kI32, arrays->limit.size(), arrays->limit.data()});
    if (!flip.empty()) m->constants.push_back({ConstType::kU32, arrays->flip.size(), arrays->flip.data()});
    conv.steps.push_back({StepKind::kThreshold, then, 1, flip.empty() ? kNone : 2, 0, 0, 0});
    m->ops.push_back(conv);
    OpInfo unpack;
    unpack.opcode = Opcode::kMap;
    unpack.in = then;
    unpack.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
    m->ops.push_back(unpack);
  }
  m->storage = arrays;
  check_model(*m);
  return m;
}

class SlicedKernelTest : public testing::TestWithParam<const SlicedKernel*> {
 protected:
  std::vector<float> run(const std::shared_ptr<const Model>& model, const Layer& l, const Numbers& numbers, bool must_slice) {
    SessionOptions options;
    options.kernel = GetParam()->name;
    options.threads = l.threads;
    Session session(model, options);
    sliced_ = session.prepared().ops[1].sliced != nullptr;
    EXPECT_TRUE(sliced_ || !must_slice) << l.text();
    std::vector<float> y(l.batch * l.out_pixels() * l.outputs, -99.0f), x = numbers.x;
    ExternalTensor in, out;
    in.data = x.data();
    out.data = y.data();
    contiguous_strides(model->values[model->inputs[0]], in.strides);
    contiguous_strides(model->values[model->outputs[0]], out.strides);
    session.run(l.batch, &in, &out);
    return y;
  }

  // Accumulators, then thresholds at their extremes, around the accumulators and anywhere.
  void check(const Layer& l, int fill, uint32_t seed, bool must_slice = true) {
    Random random(seed);
    const Numbers numbers(l, fill, random);
    const std::vector<float> y = run(make_model(l, numbers, nullptr, {}, 1), l, numbers, must_slice);
    for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], static_cast<float>(numbers.acc[i])) << "output " << i << ": " << l.text();
    std::vector<int32_t> limit(l.outputs);
    for (uint32_t c = 0; c < l.outputs; ++c) {
      const int32_t near = numbers.acc[below(random, static_cast<uint32_t>(l.batch * l.out_pixels())) * l.outputs + c];
      const int32_t choices[] = {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), near, near + 1, near - 1, near + 2, 0};
      limit[c] = choices[below(random, 7)];
    }
    std::vector<uint32_t> flip;
    if (below(random, 3) != 0)
      for (uint32_t c = 0; c < l.outputs; c += 32) flip.push_back(random());
    uint32_t out_groups = 1;
    for (uint32_t g : {2u, 3u, 4u})
      if (l.outputs % g == 0 && below(random, 2) == 0) out_groups = g;
    const std::vector<float> z = run(make_model(l, numbers, &limit, flip, out_groups), l, numbers, false);
    for (size_t i = 0; i < z.size(); ++i) {
      const auto c = static_cast<uint32_t>(i % l.outputs);
      const bool up = (numbers.acc[i] >= limit[c]) != (!flip.empty() && ((flip[c / 32] >> (c % 32)) & 1) != 0);
      ASSERT_EQ(z[i], up ? 1.0f : -1.0f) << "bit " << i << ", limit " << limit[c] << ", accumulator " << numbers.acc[i] << ": " << l.text();
    }
  }
  bool sliced_ = false;
};

Layer square(uint32_t size, uint32_t channels, uint32_t outputs, uint32_t kernel, uint32_t stride, uint32_t pad) {
  Layer l;
  l.channels = channels;
  l.outputs = outputs;
  for (int k = 1; k < 3; ++k) {
    l.in[k] = size;
    l.geometry.kernel[k] = kernel;
    l.geometry.stride[k] = stride;
    l.geometry.pad_begin[k] = l.geometry.pad_end[k] = pad;
  }
  EXPECT_TRUE(l.finish());
  return l;
}

TEST_P(SlicedKernelTest, DenseLayersOfManySizes) {
  // Sizes around multiples of the step, the vector and the unrolled blocks; nothing and everything differs.
  uint32_t seed = 1;
  for (uint32_t k : {1u, 2u, 6u, 7u, 8u, 13u, 31u, 32u, 33u, 63u, 64u, 65u, 96u, 127u, 128u, 129u, 191u, 192u, 193u, 255u, 511u, 512u, 513u, 575u, 576u,
                     577u, 1025u, 1536u, 4608u})
    for (int fill : {0, 1, 2}) {
      Layer l = square(1, k, 70, 1, 1, 0);
      l.batch = 9;
      check(l, fill, seed++);
    }
}

TEST_P(SlicedKernelTest, EveryNumberOfChannels) {
  for (uint32_t c = 1; c <= 200; ++c) check(square(4, c, 5, 3, 1, 1), c % 5 == 0 ? 1 : 0, c);
}

TEST_P(SlicedKernelTest, LargestCounts) {
  Layer l = square(1, 65504, 3, 1, 1, 0);
  l.batch = 3;
  for (int fill : {0, 1, 2}) check(l, fill, 5);
  Layer c = square(5, 2528, 2, 5, 1, 0);  // 25 taps * 79 words * 32 = 63200
  for (int fill : {0, 1, 2}) check(c, fill, 6);
}

TEST_P(SlicedKernelTest, EveryTailOfOutputs) {
  for (uint32_t o = 1; o <= 130; ++o) check(square(3, 40, o, 3, 1, 1), 0, o);
}

TEST_P(SlicedKernelTest, MapsOfManyWidths) {
  for (uint32_t size = 1; size <= 24; ++size)
    for (uint32_t stride : {1u, 2u}) check(square(size, 64, 9, 3, stride, 1), 0, size);
  for (uint32_t size : {56u, 62u, 64u, 65u, 72u, 80u}) check(square(size, 33, 3, 3, 1, 1), 0, size);
}

TEST_P(SlicedKernelTest, BatchesBeyondTheFeatureMemory) {
  for (uint32_t batch : {1u, 2u, 5u, 33u}) {
    Layer l = square(14, 64, 8, 3, 1, 1);
    l.batch = batch;
    l.threads = 1 + batch % 2;
    check(l, 0, batch);
    Layer dense = square(1, 2000, 20, 1, 1, 0);
    dense.batch = batch * 20;
    check(dense, 0, batch);
  }
}

TEST_P(SlicedKernelTest, DenseLayersThatCoverTheirMap) {
  for (uint32_t c : {1u, 20u, 32u, 40u, 64u}) {
    Layer l = square(3, c, 33, 3, 1, 0);
    l.batch = 11;
    check(l, 0, c);
  }
}

TEST_P(SlicedKernelTest, RandomLayers) {
  Random random(11);
  uint32_t sliced = 0;
  for (uint32_t round = 0; round < 1500; ++round) {
    Layer l;
    const uint32_t dims = between(random, 1, 3);
    const uint32_t groups[] = {1, 1, 1, 2, 3};
    l.geometry.groups = groups[below(random, 5)];
    const uint32_t channels[] = {between(random, 1, 9), between(random, 10, 70), 32, 64, 96, 128, between(random, 60, 200)};
    l.channels = channels[below(random, 7)] * l.geometry.groups;
    const uint32_t outputs[] = {between(random, 1, 70), 32, 64, 64, 96, between(random, 60, 140)};
    l.outputs = outputs[below(random, 6)] * l.geometry.groups;
    for (uint32_t k = 3 - dims; k < 3; ++k) {
      l.in[k] = between(random, 1, dims == 1 ? 40 : dims == 2 ? 10 : 5);
      l.geometry.kernel[k] = between(random, 1, dims == 3 ? 2 : 4);
      l.geometry.stride[k] = between(random, 1, 3);
      l.geometry.dilation[k] = below(random, 3) == 0 ? between(random, 1, 3) : 1;
      l.geometry.pad_begin[k] = below(random, 4);
      l.geometry.pad_end[k] = below(random, 4);
    }
    l.geometry.pad_mode = static_cast<PadMode>(below(random, 4));
    l.low = below(random, 3) == 0;
    l.batch = between(random, 1, 3);
    l.threads = between(random, 1, 2);
    if (!l.finish()) continue;
    check(l, below(random, 8) == 0 ? 1 : 0, round, l.geometry.groups == 1);
    if (HasFatalFailure()) return;
    sliced += sliced_;
  }
  EXPECT_GT(sliced, 500u);
}

// A thread makes features part by part, up and down the map, and joint chains of blocks whose neighbours it may not have yet.
TEST_P(SlicedKernelTest, ThreadsTakePartsOfMaps) {
  Random random(12);
  for (uint32_t size : {9u, 13u, 14u, 17u, 28u, 31u, 40u})
    for (uint32_t stride : {1u, 2u, 3u})
      for (uint32_t kernel : {1u, 3u, 5u}) {
        Layer l = square(size, between(random, 64, 130), between(random, 64, 200), kernel, stride, kernel / 2);
        l.batch = between(random, 1, 2);
        l.threads = between(random, 2, 5);
        check(l, 0, size * 100 + stride * 10 + kernel, false);
        if (HasFatalFailure()) return;
      }
}

TEST_P(SlicedKernelTest, TransposedConvolutionsGoToThePopcountKernel) {
  Layer l = square(4, 64, 64, 3, 1, 0);
  l.geometry.transposed = true;
  l.out = {1, 6, 6};
  const std::vector<uint32_t> packed(64 * 9 * 2, 1);
  BinaryConvProblem p;
  const float zero = 0;
  p.in = {1, 4, 4, 64};
  p.out = l.out;
  p.out_channels = 64;
  p.geometry = l.geometry;
  p.weight = packed.data();
  p.weight_elements = packed.size();
  p.threshold = &zero;
  p.threshold_elements = 1;
  SessionOptions options;
  options.kernel = GetParam()->name;
  EXPECT_EQ(Session(binary_conv_model(p), options).prepared().ops[1].sliced, nullptr);
}

TEST(Sliced, ByDefaultOnlyWhereItIsExpectedToWin) {
  if (!find_sliced_kernel(nullptr)) GTEST_SKIP() << "this CPU has no sliced kernel";
  const auto sliced = [](const Layer& l, const char* kernel) {
    Random random(1);
    SessionOptions options;
    options.kernel = kernel;
    return Session(make_model(l, Numbers(l, 0, random), nullptr, {}, 1), options).prepared().ops[1].sliced != nullptr;
  };
  EXPECT_FALSE(sliced(square(8, 64, 16, 3, 1, 1), ""));
  EXPECT_TRUE(sliced(square(8, 64, 16, 3, 1, 1), find_sliced_kernel(nullptr)->name));
  EXPECT_FALSE(sliced(square(9, 128, 64, 3, 1, 1), "bconv_portable"));
  EXPECT_FALSE(sliced(square(9, 128, 64, 3, 1, 1), "avx512vpopcnt"));
}

INSTANTIATE_TEST_SUITE_P(Kernels, SlicedKernelTest, testing::ValuesIn(supported(sliced_kernels())), kernel_name<SlicedKernel>);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SlicedKernelTest);

}  // namespace
}  // namespace bitwright::kernels_test
