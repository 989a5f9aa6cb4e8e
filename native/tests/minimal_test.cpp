// Float convolutions by minimal filtering: against double precision within a proven bound, and the same bits for any number of threads, batch and band.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "describe.h"
#include "error.h"
#include "minimal_filter.h"
#include "minimal_layout.h"
#include "models_common.h"
#include "session.h"

namespace bitwright {
namespace {

using models_test::add_copy;
using models_test::add_value;
using models_test::normals;
using models_test::outside;
using models_test::Random;

struct Floats : Storage {
  std::vector<float> weights, factors;
};

struct Case {
  uint32_t size[2], channels, outputs;
  Geometry geometry;
  bool bits = false;
};

// x -> convolution -> y, and with `bits` their signs as a second output.
std::shared_ptr<Model> model_of(const Case& c, Random& random) {
  auto model = std::make_shared<Model>();
  auto floats = std::make_shared<Floats>();
  OpInfo conv;
  conv.opcode = Opcode::kFconv;
  conv.name = "conv";
  conv.geometry = c.geometry;
  conv.out_channels = c.outputs;
  conv.weight = 0;
  conv.out = {1, 1, 1};
  for (int k = 1; k < 3; ++k) {
    const int64_t room = int64_t{c.size[k - 1]} + c.geometry.pad_begin[k] + c.geometry.pad_end[k] - static_cast<int64_t>(c.geometry.extent(k));
    conv.out[k] = room < 0 ? 0 : static_cast<uint32_t>(room) / c.geometry.stride[k] + 1;
  }
  if (conv.out[1] * conv.out[2] == 0) return nullptr;
  conv.in = add_value(*model, DType::kF32, {1, c.size[0], c.size[1], c.channels});
  const std::array<uint32_t, 4> out{1, conv.out[1], conv.out[2], c.outputs};
  const uint32_t y = add_value(*model, DType::kF32, out);
  outside(*model, conv.in, "x", true);
  outside(*model, y, "y", false);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < size_t{c.outputs} * c.geometry.taps() * c.channels; ++i) floats->weights.push_back(normal(random));
  model->constants.push_back({ConstType::kF32, floats->weights.size(), floats->weights.data()});
  conv.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
  if (c.bits) {
    const uint32_t bits = add_value(*model, DType::kBits, out), signs = add_value(*model, DType::kF32, out);
    outside(*model, signs, "signs", false);
    conv.steps.push_back({StepKind::kStoreBits, bits, kNone, kNone, 0, 0, 0});
    model->ops.push_back(conv);
    add_copy(*model, bits, signs);
  } else {
    model->ops.push_back(conv);
  }
  model->storage = floats;
  check_model(*model);
  return model;
}

std::vector<std::vector<float>> run(Session& session, const std::vector<float>& x, uint64_t samples) {
  const Model& model = session.model();
  std::vector<std::vector<float>> out;
  std::vector<void*> to;
  for (uint32_t id : model.outputs) out.emplace_back(samples * model.values[id].pixels() * model.values[id].channels(), -7.0f);
  for (auto& y : out) to.push_back(y.data());
  const void* from[] = {x.data()};
  session.run_contiguous(samples, from, to.data());
  return out;
}

SessionOptions options(const std::string& kernel, unsigned threads = 1, uint64_t cache = 0) {
  SessionOptions o;
  o.kernel = kernel;
  o.threads = threads;
  o.cache_bytes = cache;
  return o;
}

Case random_case(Random& random) {
  Case c;
  const bool wide = random() % 8 == 0;
  c.size[0] = 2 + random() % 30;
  c.size[1] = wide ? 100 + random() % 300 : 2 + random() % 60;
  c.channels = 1 + random() % (random() % 3 ? 4 : 40);
  c.outputs = 1 + random() % (random() % 2 ? 20 : 100);
  c.bits = random() % 2 != 0;
  for (int k = 1; k < 3; ++k) {
    c.geometry.kernel[k] = 2 + random() % 10;
    c.geometry.stride[k] = 1 + random() % 2;
    c.geometry.pad_begin[k] = random() % std::min(c.geometry.kernel[k], 6u);
    c.geometry.pad_end[k] = random() % std::min(c.geometry.kernel[k], 6u);
  }
  c.geometry.pad_mode = random() % 4 == 0 ? PadMode::kReplicate : PadMode::kZero;
  return c;
}

template <int M>
void matrices(uint32_t taps, uint32_t j, std::vector<double>& weight, std::vector<double>& input) {
  const auto fill = [&](const auto& f) {
    weight.assign(f.weight[j], f.weight[j] + taps);
    input.assign(f.input[j], f.input[j] + M + taps - 1);
  };
  switch (taps) {
    case 1: return fill(minimal_filter<M, 1>);
    case 2: return fill(minimal_filter<M, 2>);
    case 3: return fill(minimal_filter<M, 3>);
    default: return fill(minimal_filter<M, 4>);
  }
}

// One axis of one output: for each product the inputs it reads and the weights' share of each tap, in magnitude, times the output's coefficient.
struct Product {
  size_t part;
  std::vector<std::pair<int64_t, double>> reads;  // coordinate of the map before padding, |input coefficient|
  std::vector<std::pair<uint32_t, double>> taps;  // of the kernel, |weight coefficient|
  double output;
};

template <int M>
std::vector<Product> products_of(const MinimalAxis& axis, uint32_t o, uint32_t pad) {
  std::vector<Product> products;
  for (size_t p = 0; p < axis.parts.size(); ++p) {
    const MinimalPart& part = axis.parts[p];
    for (uint32_t j = 0; j < axis.points_of(part); ++j) {
      std::vector<double> weight, input;
      matrices<M>(part.taps, j, weight, input);
      Product product{p, {}, {}, 0};
      const uint32_t i = o % M;
      product.output = j + 1 == axis.points_of(part) ? (i + 1 == M ? 1 : 0) : std::abs(std::pow(kMinimalPoints[j], i));
      if (i > 0 && j == 0 && j + 1 != axis.points_of(part)) product.output = 0;
      for (size_t e = 0; e < input.size(); ++e)
        product.reads.emplace_back(int64_t{axis.stride} * (o / M * M + static_cast<int64_t>(e)) + part.first - pad, std::abs(input[e]));
      for (uint32_t t = 0; t < part.taps; ++t) product.taps.emplace_back(part.first + t * axis.stride, std::abs(weight[t]));
      if (product.output != 0) products.push_back(std::move(product));
    }
  }
  return products;
}

class MinimalTest : public testing::TestWithParam<const MinimalKernel*> {};

// |error| <= gamma(n) * the same computation on magnitudes, with n roundings on the way of a term (Higham 2002, section 3.1): 5 of a row's and 7 of a
// column's input transform, 1 of the weight, as many as products are summed at a point, 5 and 7 of the output transforms.
TEST_P(MinimalTest, IsTheConvolutionWithinTheProvenBound) {
  Random random(5);
  int checked = 0;
  for (int round = 0; round < 250; ++round) {
    const Case c = random_case(random);
    const auto model = model_of(c, random);
    if (!model) continue;
    const OpInfo& op = model->ops[0];
    Session session(model, options(GetParam()->name));
    const bool suits = suits_minimal(op, model->values[op.in]);
    ASSERT_EQ(facts_of(session.prepared(), 0).kernel == std::string(GetParam()->name), suits) << "round " << round;
    if (!suits) continue;
    ++checked;
    const std::vector<float> x = normals(size_t{c.size[0]} * c.size[1] * c.channels, random);
    const auto got = run(session, x, 1);
    const MinimalLayout layout = make_minimal_layout(op, model->values[op.in], *GetParam());
    const double roundings = 25.0 + *std::max_element(layout.depth.begin(), layout.depth.end()), unit = std::ldexp(1.0, -24);
    const double gamma = roundings * unit / (1 - roundings * unit);
    const Geometry& g = c.geometry;
    const float* weights = static_cast<const float*>(model->constants[0].data);
    const auto pixel = [&](int64_t y, int64_t v) -> const float* {
      if (g.pad_mode == PadMode::kReplicate) y = std::clamp<int64_t>(y, 0, c.size[0] - 1), v = std::clamp<int64_t>(v, 0, c.size[1] - 1);
      const bool inside = y >= 0 && y < c.size[0] && v >= 0 && v < c.size[1];
      return inside ? x.data() + (static_cast<size_t>(y) * c.size[1] + static_cast<size_t>(v)) * c.channels : nullptr;
    };
    for (int sample = 0; sample < 60; ++sample) {
      // Corners and edges as often as the middle.
      const uint32_t oy = random() % 3 ? random() % op.out[1] : random() % 2 * (op.out[1] - 1), ox = random() % 3 ? random() % op.out[2] : random() % 2 * (op.out[2] - 1);
      const uint32_t o = random() % c.outputs;
      const float* w = weights + size_t{o} * g.taps() * c.channels;
      double sum = 0, most = 0;
      for (uint32_t i = 0; i < g.kernel[1]; ++i)
        for (uint32_t j = 0; j < g.kernel[2]; ++j) {
          const float* from = pixel(int64_t{oy} * g.stride[1] + i - g.pad_begin[1], int64_t{ox} * g.stride[2] + j - g.pad_begin[2]);
          for (uint32_t k = 0; from && k < c.channels; ++k) sum += double{from[k]} * double{w[(i * g.kernel[2] + j) * c.channels + k]};
        }
      for (const Product& a : products_of<kMinimalRows>(layout.rows, oy, g.pad_begin[1]))
        for (const Product& b : products_of<kMinimalColumns>(layout.columns, ox, g.pad_begin[2]))
          for (uint32_t k = 0; k < c.channels; ++k) {
            double in = 0, by = 0;
            for (const auto& [y, p] : a.reads)
              for (const auto& [v, q] : b.reads)
                if (const float* from = p * q == 0 ? nullptr : pixel(y, v)) in += p * q * std::abs(from[k]);
            for (const auto& [i, p] : a.taps)
              for (const auto& [j, q] : b.taps) by += p * q * std::abs(w[(i * g.kernel[2] + j) * c.channels + k]);
            most += a.output * b.output * in * by;
          }
      const size_t at = (size_t{oy} * op.out[2] + ox) * c.outputs + o;
      ASSERT_LE(std::abs(got[0][at] - sum), gamma * most) << "round " << round << ", output " << oy << " " << ox << " " << o << " of " << op.out[1] << " " << op.out[2] << " "
                                                          << c.outputs << ", kernel " << g.kernel[1] << "x" << g.kernel[2] << ", channels " << c.channels;
      if (c.bits) {
        ASSERT_EQ(got[1][at], got[0][at] >= 0 ? 1.0f : -1.0f) << "round " << round;
      }
    }
  }
  EXPECT_GT(checked, 150);
}

// What the bound would not see: an error in proportion. Typical errors of a 7x7 stem and a 3x3 layer stay near those of a plain sum.
TEST_P(MinimalTest, ErrorsAreOfThePlainSumsOrder) {
  Random random(8);
  for (const uint32_t kernel : {7u, 3u}) {
    Case c{{40, 40}, kernel == 7 ? 3u : 64u, 32, {}, false};
    for (int k = 1; k < 3; ++k) c.geometry.kernel[k] = kernel, c.geometry.stride[k] = kernel == 7 ? 2 : 1, c.geometry.pad_begin[k] = c.geometry.pad_end[k] = kernel / 2;
    const auto model = model_of(c, random);
    const std::vector<float> x = normals(size_t{40} * 40 * c.channels, random);
    Session minimal(model, options(GetParam()->name)), direct(model, options("fconv_portable"));
    const auto a = run(minimal, x, 1)[0], b = run(direct, x, 1)[0];
    double error = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double d = double{a[i]} - double{b[i]};
      error += d * d;
      size += double{b[i]} * double{b[i]};
    }
    // Measured against double precision: 3 times a plain sum's, about 4e-7 of the outputs.
    EXPECT_LT(std::sqrt(error / size), 2e-6) << "kernel " << kernel;
  }
}

TEST_P(MinimalTest, ThreadsAndBatchesGiveTheSameBits) {
  Random random(6);
  int checked = 0;
  for (int round = 0; round < 120; ++round) {
    const Case c = random_case(random);
    const auto model = model_of(c, random);
    if (!model || !suits_minimal(model->ops[0], model->values[model->ops[0].in])) continue;
    ++checked;
    const uint64_t samples = 1 + random() % 5;
    const size_t one = size_t{c.size[0]} * c.size[1] * c.channels;
    const std::vector<float> x = normals(one * samples, random);
    Session single(model, options(GetParam()->name)), many(model, options(GetParam()->name, 1 + random() % 3, random() % 2 ? 1 : 0));
    const auto got = run(many, x, samples);
    for (uint64_t n = 0; n < samples; ++n) {
      const auto alone = run(single, std::vector<float>(x.begin() + static_cast<ptrdiff_t>(n * one), x.begin() + static_cast<ptrdiff_t>((n + 1) * one)), 1);
      for (size_t k = 0; k < got.size(); ++k)
        ASSERT_TRUE(std::equal(alone[k].begin(), alone[k].end(), got[k].begin() + static_cast<ptrdiff_t>(n * alone[k].size()))) << "round " << round << ", sample " << n;
    }
  }
  EXPECT_GT(checked, 70);
}

std::vector<const MinimalKernel*> supported() {
  std::vector<const MinimalKernel*> all;
  for (const MinimalKernel* const* k = minimal_kernels(); *k; ++k)
    if ((*k)->supported()) all.push_back(*k);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, MinimalTest, testing::ValuesIn(supported()), [](const auto& info) { return std::string(info.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MinimalTest);

}  // namespace
}  // namespace bitwright
