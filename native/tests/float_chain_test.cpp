// Float convolutions whose kernel takes the chain of steps in registers give the bits that they give through the epilogue.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "error.h"
#include "models_common.h"
#include "session.h"

namespace bitwright {
namespace {

using models_test::add_copy;
using models_test::add_value;
using models_test::outside;
using models_test::Random;

struct Arrays : Storage {
  std::vector<std::vector<float>> floats;
  std::vector<uint32_t> flip;
};

class FloatChainTest : public testing::TestWithParam<const FloatKernel*> {};

TEST_P(FloatChainTest, EveryChainGivesTheSameBits) {
  const FloatKernel& kernel = *GetParam();
  Random random(4);
  std::normal_distribution<float> normal;
  int chained = 0;
  for (int round = 0; round < 300; ++round) {
    auto model = std::make_shared<Model>();
    auto arrays = std::make_shared<Arrays>();
    arrays->floats.reserve(16);
    const uint32_t groups = random() % 4 == 0 ? 2 : 1, channels = groups * (1 + random() % 40), panels = 1 + random() % 3;
    const uint32_t outputs = groups * kernel.panel * panels - (random() % 6 == 0 ? groups : 0), size[2] = {1 + random() % 12, 1 + random() % 12};
    OpInfo conv;
    conv.opcode = Opcode::kFconv;
    conv.name = "conv";
    conv.out_channels = outputs;
    conv.geometry.groups = groups;
    conv.out = {1, 1, 1};
    for (int k = 1; k < 3; ++k) {
      conv.geometry.kernel[k] = 1 + random() % 2 * (random() % 3);
      conv.geometry.stride[k] = 1 + random() % 2;
      conv.geometry.pad_begin[k] = conv.geometry.pad_end[k] = conv.geometry.kernel[k] / 2;
      conv.out[k] = (size[k - 1] + 2 * (conv.geometry.kernel[k] / 2) - conv.geometry.kernel[k]) / conv.geometry.stride[k] + 1;
    }
    const std::array<uint32_t, 4> out{1, conv.out[1], conv.out[2], outputs};
    conv.in = add_value(*model, DType::kF32, {1, size[0], size[1], channels});
    outside(*model, conv.in, "x", true);
    const uint32_t shortcut = add_value(*model, DType::kF32, out);
    outside(*model, shortcut, "shortcut", true);
    const auto constant = [&](size_t n) {
      std::vector<float> x(n);
      for (float& v : x) v = normal(random);
      arrays->floats.push_back(std::move(x));
      model->constants.push_back({ConstType::kF32, n, arrays->floats.back().data()});
      return static_cast<uint32_t>(model->constants.size() - 1);
    };
    conv.weight = constant(size_t{outputs} * conv.geometry.taps() * (channels / groups));
    const auto affine = [&](bool factor, bool term) {
      conv.steps.push_back({StepKind::kAffine, kNone, factor ? constant(outputs) : kNone, term ? constant(outputs) : kNone, 1, 0, 0});
    };
    if (random() % 6) affine(true, random() % 3 != 0);
    if (random() % 4 == 0) affine(true, true);
    if (random() % 2) conv.steps.push_back({StepKind::kAdd, shortcut, kNone, kNone, 0, 0, 0});
    const bool shifted = random() % 3 == 0;
    if (shifted) affine(false, true);
    if (shifted || random() % 2) conv.steps.push_back({StepKind::kPrelu, kNone, constant(outputs), kNone, 0, 0, 0});
    if (shifted) affine(false, true);
    const bool bits = random() % 2 != 0, store = !bits || random() % 2;
    if (store) {
      const uint32_t y = add_value(*model, DType::kF32, out);
      outside(*model, y, "y", false);
      conv.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
    }
    if (bits) {
      const uint32_t to = add_value(*model, DType::kBits, out), signs = add_value(*model, DType::kF32, out);
      outside(*model, signs, "signs", false);
      uint32_t flip = kNone;
      if (random() % 2) {
        for (uint32_t c = 0; c < outputs; c += 32) arrays->flip.push_back(outputs - c >= 32 ? random() : random() & ((1u << (outputs - c)) - 1));
        model->constants.push_back({ConstType::kU32, arrays->flip.size(), arrays->flip.data()});
        flip = static_cast<uint32_t>(model->constants.size() - 1);
      }
      conv.steps.push_back({StepKind::kStoreBits, to, constant(outputs), flip, 0, 0, 0});
      model->ops.push_back(conv);
      add_copy(*model, to, signs);
    } else {
      model->ops.push_back(conv);
    }
    model->storage = arrays;
    check_model(*model);
    const uint64_t samples = 1 + random() % 4;
    std::vector<std::vector<float>> x;
    std::vector<const void*> in;
    for (uint32_t id : model->inputs) {
      x.emplace_back(samples * model->values[id].pixels() * model->values[id].channels());
      for (float& v : x.back()) v = random() % 16 ? normal(random) : 0.0f;
    }
    for (const auto& v : x) in.push_back(v.data());
    const auto run = [&](const std::string& kernels, unsigned threads) {
      SessionOptions options;
      options.kernel = kernels;
      options.threads = threads;
      Session session(model, options);
      std::vector<std::vector<float>> y;
      std::vector<void*> to;
      for (uint32_t id : model->outputs) y.emplace_back(samples * model->values[id].pixels() * model->values[id].channels(), -7.0f);
      for (auto& v : y) to.push_back(v.data());
      session.run_contiguous(samples, in.data(), to.data());
      chained += session.prepared().ops[0].chain != nullptr;
      return y;
    };
    const auto got = run(kernel.name, 1 + random() % 2);
    const int before = chained;
    const auto expected = run(std::string(kernel.name) + ",epilogue_portable", 1);
    ASSERT_EQ(chained, before) << "the oracle goes through the epilogue";
    for (size_t k = 0; k < got.size(); ++k) ASSERT_EQ(std::memcmp(got[k].data(), expected[k].data(), got[k].size() * 4), 0) << "round " << round << ", output " << k;
  }
  EXPECT_GT(chained, 80);
}

std::vector<const FloatKernel*> chaining() {
  std::vector<const FloatKernel*> all;
  for (const FloatKernel* const* k = float_kernels(); *k; ++k)
    if ((*k)->supported() && (*k)->chain) all.push_back(*k);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, FloatChainTest, testing::ValuesIn(chaining()), [](const auto& info) { return std::string(info.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FloatChainTest);

}  // namespace
}  // namespace bitwright
