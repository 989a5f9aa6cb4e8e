// Float convolutions of few channels, whose taps are read line by line, and elementwise ops of few channels, which are cut without regard to pixels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "error.h"
#include "models_common.h"
#include "session.h"

namespace bitwright {
namespace {

using models_test::add_value;
using models_test::normals;
using models_test::outside;
using models_test::Random;

struct Arrays : Storage {
  std::vector<std::vector<float>> floats;
};

std::vector<float> run(const std::shared_ptr<Model>& model, const std::vector<const void*>& inputs, uint64_t samples, unsigned threads) {
  SessionOptions options;
  options.threads = threads;
  options.kernel = find_float_kernel(nullptr)->name;  // the direct sum: minimal filtering has a test of its own
  Session session(model, options);
  const ValueInfo& y = model->values[model->outputs[0]];
  std::vector<float> out(samples * y.pixels() * y.channels(), -7.0f);
  void* to[] = {out.data()};
  session.run_contiguous(samples, inputs.data(), to);
  return out;
}

// Where tap k of output o reads in one dimension, or -1.
int64_t source(const Geometry& g, int dim, int64_t size, int64_t o, int64_t k) {
  if (g.transposed) {
    const int64_t reach = o + g.pad_begin[dim] - k * g.dilation[dim];
    return reach >= 0 && reach % g.stride[dim] == 0 && reach / g.stride[dim] < size ? reach / g.stride[dim] : -1;
  }
  const int64_t i = o * g.stride[dim] - g.pad_begin[dim] + k * g.dilation[dim];
  if (g.pad_mode == PadMode::kReplicate) return std::clamp<int64_t>(i, 0, size - 1);
  return i >= 0 && i < size ? i : -1;
}

TEST(Stem, FloatConvolutionsOfFewChannelsAreTheirDefinition) {
  Random random(3);
  int checked = 0;
  for (int round = 0; round < 300; ++round) {
    auto model = std::make_shared<Model>();
    auto arrays = std::make_shared<Arrays>();
    const uint32_t channels = 1 + random() % (random() % 3 ? 4 : 16), outputs = 1 + random() % 70;
    const uint32_t size[3] = {random() % 5 ? 1u : 3u, 1 + random() % 40, 1 + random() % 40};
    OpInfo conv;
    conv.opcode = Opcode::kFconv;
    conv.name = "conv";
    conv.out_channels = outputs;
    conv.weight = 0;
    Geometry& g = conv.geometry;
    for (int k = 0; k < 3; ++k) {
      g.kernel[k] = 1 + random() % (k == 0 ? std::min(2u, size[0]) : 7);
      g.stride[k] = 1 + random() % 3;
      g.dilation[k] = 1 + random() % 5 / 4;
      g.pad_begin[k] = k == 0 ? 0 : random() % 4;
      g.pad_end[k] = k == 0 ? 0 : random() % 4;
      conv.out[k] = 1;
    }
    g.pad_mode = random() % 4 == 0 ? PadMode::kReplicate : PadMode::kZero;
    g.transposed = g.pad_mode == PadMode::kZero && random() % 5 == 0;
    for (int k = 0; k < 3; ++k) {
      if (g.transposed) g.pad_end[k] = 0;
      const int64_t extent = static_cast<int64_t>(g.extent(k)), in = size[k];
      const int64_t out = g.transposed ? (in - 1) * g.stride[k] + extent - 2 * g.pad_begin[k] : (in + g.pad_begin[k] + g.pad_end[k] - extent) / g.stride[k] + 1;
      conv.out[k] = static_cast<uint32_t>(std::max<int64_t>(out, 0));
    }
    if (conv.out[0] * conv.out[1] * conv.out[2] == 0) continue;
    conv.in = add_value(*model, DType::kF32, {size[0], size[1], size[2], channels});
    const uint32_t y = add_value(*model, DType::kF32, {conv.out[0], conv.out[1], conv.out[2], outputs});
    outside(*model, conv.in, "x", true);
    outside(*model, y, "y", false);
    arrays->floats.push_back(normals(size_t{outputs} * g.taps() * channels, random));
    const std::vector<float>& w = arrays->floats[0];
    model->constants.push_back({ConstType::kF32, w.size(), w.data()});
    conv.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
    model->ops.push_back(conv);
    model->storage = arrays;
    try {
      check_model(*model);
    } catch (const Error&) {
      continue;  // the kernel does not fit
    }
    ++checked;
    const uint64_t samples = 1 + random() % 3;
    const std::vector<float> x = normals(samples * size[0] * size[1] * size[2] * channels, random);
    const std::vector<float> got = run(model, {x.data()}, samples, 1 + random() % 2);
    size_t at = 0;
    for (uint64_t n = 0; n < samples; ++n)
      for (uint32_t d = 0; d < conv.out[0]; ++d)
        for (uint32_t h = 0; h < conv.out[1]; ++h)
          for (uint32_t v = 0; v < conv.out[2]; ++v)
            for (uint32_t o = 0; o < outputs; ++o, ++at) {
              double sum = 0, most = 0;
              const float* weight = w.data() + size_t{o} * g.taps() * channels;
              for (uint32_t kd = 0; kd < g.kernel[0]; ++kd)
                for (uint32_t kh = 0; kh < g.kernel[1]; ++kh)
                  for (uint32_t kw = 0; kw < g.kernel[2]; ++kw, weight += channels) {
                    const int64_t i = source(g, 0, size[0], d, kd), j = source(g, 1, size[1], h, kh), k = source(g, 2, size[2], v, kw);
                    if (i < 0 || j < 0 || k < 0) continue;
                    const float* pixel = x.data() + (((n * size[0] + static_cast<uint64_t>(i)) * size[1] + static_cast<uint64_t>(j)) * size[2] + static_cast<uint64_t>(k)) * channels;
                    for (uint32_t c = 0; c < channels; ++c) {
                      sum += double{weight[c]} * double{pixel[c]};
                      most += std::abs(double{weight[c]} * double{pixel[c]});
                    }
                  }
              ASSERT_NEAR(got[at], sum, 1e-6 * most + 1e-30) << "round " << round << ", sample " << n << ", output " << d << " " << h << " " << v << " " << o;
            }
  }
  EXPECT_GT(checked, 150);
}

// The same map once with numbers and once with an array of that number, for which each channel must be known.
TEST(Stem, MapsOfFewChannelsGiveTheSameBitsEitherWay) {
  Random random(9);
  for (int round = 0; round < 300; ++round) {
    const std::array<uint32_t, 4> dims{1 + random() % 2, 1 + random() % 20, 1 + random() % 40, 1 + random() % 70};
    const size_t elements = size_t{dims[0]} * dims[1] * dims[2] * dims[3];
    const uint64_t samples = 1 + random() % 3;
    const unsigned threads = 1 + random() % 2;
    const std::vector<float> x = normals(samples * elements, random), more = normals(samples * elements, random);
    const int end = static_cast<int>(random() % 3);
    const bool add = random() % 2 != 0, prelu = random() % 2 != 0, clamp = random() % 2 != 0;
    const std::vector<float> numbers = normals(3, random);
    std::vector<float> answers[2];
    for (int way = 0; way < 2; ++way) {
      auto model = std::make_shared<Model>();
      model->version_minor = 1;
      auto arrays = std::make_shared<Arrays>();
      for (float number : numbers) arrays->floats.push_back(std::vector<float>(dims[3], number));
      for (const auto& a : arrays->floats) model->constants.push_back({ConstType::kF32, a.size(), a.data()});
      OpInfo map;
      map.opcode = Opcode::kMap;
      map.name = "map";
      map.in = add_value(*model, DType::kF32, dims);
      const uint32_t second = add_value(*model, DType::kF32, dims);
      const DType type = end == 0 ? DType::kF32 : end == 1 ? DType::kU8 : DType::kI16;
      const uint32_t middle = add_value(*model, type, dims, 0.5f, 100), y = add_value(*model, DType::kF32, dims);
      outside(*model, map.in, "x", true);
      outside(*model, second, "more", true);
      outside(*model, y, "y", false);
      const uint32_t a = way == 0 ? kNone : 0, b = way == 0 ? kNone : 1, slope = way == 0 ? kNone : 2;
      map.steps.push_back({StepKind::kAffine, kNone, a, b, numbers[0], numbers[1], 0});
      if (add) map.steps.push_back({StepKind::kAdd, second, kNone, kNone, 0, 0, 0});
      if (prelu) map.steps.push_back({StepKind::kPrelu, kNone, slope, kNone, numbers[2], 0, 0});
      if (clamp) map.steps.push_back({StepKind::kClamp, kNone, kNone, kNone, -1, 2, 0});
      if (end == 0) map.steps.push_back({StepKind::kStore, middle, kNone, kNone, 0, 0, 0});
      if (end == 1) map.steps.push_back({StepKind::kStoreU8, middle, kNone, kNone, 30, 0, 0});
      if (end == 2) {
        map.steps.push_back({StepKind::kQuantizeI16, kNone, kNone, kNone, 1000, 0, 0});
        map.steps.push_back({StepKind::kStoreI16, middle, kNone, kNone, 0, 0, 0});
      }
      model->ops.push_back(map);
      OpInfo copy;
      copy.opcode = Opcode::kMap;
      copy.name = "copy";
      copy.in = middle;
      if (!add) copy.steps.push_back({StepKind::kAdd, second, kNone, kNone, 0, 0, 0});  // somebody reads it
      copy.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
      model->ops.push_back(copy);
      model->storage = arrays;
      check_model(*model);
      answers[way] = run(model, {x.data(), more.data()}, samples, threads);
    }
    ASSERT_EQ(std::memcmp(answers[0].data(), answers[1].data(), answers[0].size() * 4), 0) << "round " << round << ", " << dims[3] << " channels";
  }
}

}  // namespace
}  // namespace bitwright
