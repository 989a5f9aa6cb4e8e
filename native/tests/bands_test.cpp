// A convolution and the pooling behind it, band by band, give the bits that they give one after the other: every geometry, number of threads, batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "error.h"
#include "executor_bands.h"
#include "models_common.h"
#include "session.h"

namespace bitwright {
namespace {

using models_test::add_copy;
using models_test::add_value;
using models_test::outside;

constexpr std::array<uint8_t, 4> kChannelsFirst{2, 3, 4, 1};

struct Arrays : Storage {
  std::vector<float> weights, factors, terms, thresholds;
  std::vector<int8_t> int8;
  std::vector<int32_t> shorts, padding;
};

// input -> convolution -> map -> pooling -> pooled (and its bits) -> two outputs. With `shortcut` the convolution adds a second input to its map.
struct Spec {
  uint32_t size[2] = {9, 9}, channels = 3, outputs = 8;
  Geometry conv, pool;
  bool int8 = false, shortcut = false, average = false, ceil = false;
  DType map = DType::kF32;
  bool fixed = false;    // the pooling has a chain of i16 steps; of an i16 map
  bool padding = false;  // taps in the padding have numbers of their own
  int act = 0;           // in front of the map: 1 PRELU, 2 CLAMP
  int least = -128;      // weight
};

// Gives the ids of input, map, pooled map and its bits as 0 to 3.
std::shared_ptr<Model> model_of(const Spec& s, std::mt19937& random) {
  auto model = std::make_shared<Model>();
  auto arrays = std::make_shared<Arrays>();
  model->version_minor = 1;
  OpInfo conv;
  conv.opcode = s.int8 ? Opcode::kQconv : Opcode::kFconv;
  conv.name = "conv";
  conv.geometry = s.conv;
  conv.out_channels = s.outputs;
  conv.out = {1, 1, 1};
  OpInfo pool;
  pool.opcode = Opcode::kPool;
  pool.name = "pool";
  pool.pool = s.average ? PoolKind::kAveragePadded : PoolKind::kMax;
  pool.geometry = s.pool;
  pool.out = {1, 1, 1};
  for (uint32_t k = 1; k < 3; ++k) {
    conv.out[k] = (s.size[k - 1] + s.conv.pad_begin[k] + s.conv.pad_end[k] - static_cast<uint32_t>(s.conv.extent(static_cast<int>(k)))) / s.conv.stride[k] + 1;
    const uint32_t padded = conv.out[k] + s.pool.pad_begin[k] + s.pool.pad_end[k] - static_cast<uint32_t>(s.pool.extent(static_cast<int>(k)));
    pool.out[k] = (padded + (s.ceil ? s.pool.stride[k] - 1 : 0)) / s.pool.stride[k] + 1;
    if ((pool.out[k] - 1) * s.pool.stride[k] >= s.pool.pad_begin[k] + conv.out[k]) --pool.out[k];
  }
  const std::array<uint32_t, 4> pooled{1, pool.out[1], pool.out[2], s.outputs};
  conv.in = add_value(*model, s.int8 ? DType::kU8 : DType::kF32, {1, s.size[0], s.size[1], s.channels}, 0.25f, 7);
  const uint32_t map = pool.in = add_value(*model, s.map, {1, conv.out[1], conv.out[2], s.outputs}, 0.25f, 7);
  const uint32_t to = add_value(*model, s.fixed ? DType::kI16 : DType::kF32, pooled, 0.25f), bits = add_value(*model, DType::kBits, pooled);
  const uint32_t y = add_value(*model, DType::kF32, pooled), signs = add_value(*model, DType::kF32, pooled);
  outside(*model, conv.in, "x", true, kChannelsFirst);
  outside(*model, y, "y", false, kChannelsFirst);
  outside(*model, signs, "signs", false, kChannelsFirst);

  std::uniform_real_distribution<float> real(-1, 1);
  const uint32_t weights = s.outputs * s.conv.taps() * s.channels / s.conv.groups;
  for (uint32_t i = 0; i < weights; ++i) {
    arrays->weights.push_back(real(random));
    arrays->int8.push_back(std::max(static_cast<int8_t>(random()), static_cast<int8_t>(s.least)));
  }
  for (uint32_t c = 0; c < s.outputs; ++c) {
    arrays->factors.push_back(s.int8 ? real(random) / 1024 : real(random));
    arrays->terms.push_back(real(random));
    arrays->thresholds.push_back(real(random));
    arrays->shorts.push_back(static_cast<int32_t>(random() % 7) - 3);
    if (s.act != 0 && random() % 4 == 0) arrays->factors.back() = 0;
    if (s.act != 0 && random() % 4 == 0) arrays->terms.back() = 0;
  }
  for (uint32_t i = 0; i < s.conv.taps() * s.outputs; ++i) arrays->padding.push_back(static_cast<int32_t>(random() % 20000) - 10000);
  if (s.int8)
    model->constants.push_back({ConstType::kI8, weights, arrays->int8.data()});
  else
    model->constants.push_back({ConstType::kF32, weights, arrays->weights.data()});
  for (const auto* a : {&arrays->factors, &arrays->terms, &arrays->thresholds}) model->constants.push_back({ConstType::kF32, s.outputs, a->data()});
  model->constants.push_back({ConstType::kI32, s.outputs, arrays->shorts.data()});
  model->constants.push_back({ConstType::kI32, arrays->padding.size(), arrays->padding.data()});
  conv.weight = 0;
  if (s.padding) conv.padding = 5;
  conv.steps.push_back({StepKind::kAffine, kNone, 1, 2, 0, 0, 0});
  if (s.shortcut) {
    const uint32_t more = add_value(*model, DType::kF32, {1, conv.out[1], conv.out[2], s.outputs});
    outside(*model, more, "more", true, kChannelsFirst);
    conv.steps.push_back({StepKind::kAdd, more, kNone, kNone, 0, 0, 0});
  }
  if (s.act == 1) conv.steps.push_back({StepKind::kPrelu, kNone, kNone, kNone, 0.25f, 0, 0});
  if (s.act == 2) conv.steps.push_back({StepKind::kClamp, kNone, kNone, kNone, 0, 3, 0});
  switch (s.map) {
    case DType::kU8: conv.steps.push_back({StepKind::kStoreU8, map, kNone, kNone, 4, 0, 0}); break;
    case DType::kI16:
      conv.steps.push_back({StepKind::kQuantizeI16, kNone, kNone, kNone, 4, 0, 0});
      conv.steps.push_back({StepKind::kStoreI16, map, kNone, kNone, 0, 0, 0});
      break;
    default: conv.steps.push_back({StepKind::kStore, map, kNone, kNone, 0, 0, 0});
  }
  pool.steps.push_back({s.fixed ? StepKind::kStoreI16 : StepKind::kStore, to, kNone, kNone, 0, 0, 0});
  pool.steps.push_back({s.fixed ? StepKind::kStoreBitsI16 : StepKind::kStoreBits, bits, s.fixed ? 4u : 3u, kNone, 0, 0, 0});
  model->ops = {conv, pool};
  add_copy(*model, to, y);
  add_copy(*model, bits, signs);
  model->storage = arrays;
  return model;
}

struct Call {
  std::vector<std::vector<uint8_t>> inputs, outputs;

  Call(const Model& model, uint64_t samples, std::mt19937& random) {
    std::normal_distribution<float> normal;
    for (uint32_t id : model.inputs) {
      const ValueInfo& v = model.values[id];
      std::vector<uint8_t> x(samples * v.pixels() * v.channels() * v.element_bytes());
      if (v.dtype == DType::kU8) {
        for (uint8_t& q : x) q = static_cast<uint8_t>(random());
      } else {
        for (size_t i = 0; i < x.size(); i += 4) {
          const float value = normal(random);
          std::memcpy(x.data() + i, &value, 4);
        }
      }
      inputs.push_back(std::move(x));
    }
    for (uint32_t id : model.outputs) outputs.emplace_back(samples * model.values[id].pixels() * model.values[id].channels() * 4);
  }

  const std::vector<std::vector<uint8_t>>& by(Session& session, uint64_t samples) {
    std::vector<const void*> in;
    std::vector<void*> out;
    for (auto& x : inputs) in.push_back(x.data());
    for (auto& y : outputs) std::fill(y.begin(), y.end(), uint8_t{0xA5}), out.push_back(y.data());
    session.run_contiguous(samples, in.data(), out.data());
    return outputs;
  }
};

SessionOptions options(unsigned threads, uint64_t band_bytes, uint64_t cache_bytes = 0) {
  SessionOptions o;
  o.threads = threads;
  o.band_bytes = band_bytes;
  o.cache_bytes = cache_bytes;
  return o;
}

constexpr uint64_t kNever = uint64_t{1} << 40;

Geometry random_geometry(std::mt19937& random, uint32_t most, const uint32_t (&size)[2], bool pooling) {
  Geometry g;
  for (uint32_t k = 1; k < 3; ++k) {
    g.kernel[k] = 1 + random() % std::min(most, size[k - 1]);
    g.stride[k] = 1 + random() % 3;
    g.pad_begin[k] = random() % (pooling ? std::min(g.kernel[k], 3u) : 4);
    g.pad_end[k] = random() % (pooling ? std::min(g.kernel[k], 3u) : 4);
    if (!pooling && random() % 4 == 0 && 2 * (g.kernel[k] - 1) + 1 <= size[k - 1]) g.dilation[k] = 2;
  }
  return g;
}

Spec random_spec(std::mt19937& random) {
  Spec s;
  for (uint32_t& n : s.size) n = 4 + random() % 30;
  s.int8 = random() % 2 != 0;
  const uint32_t groups = random() % 4 == 0 ? 2 : 1;
  s.channels = groups * (1 + random() % (random() % 2 ? 4 : 40));
  s.outputs = groups * (1 + random() % (random() % 2 ? 16 : 70));
  s.conv = random_geometry(random, 7, s.size, false);
  s.conv.groups = groups;
  uint32_t map[2];
  for (uint32_t k = 1; k < 3; ++k)
    map[k - 1] = (s.size[k - 1] + s.conv.pad_begin[k] + s.conv.pad_end[k] - static_cast<uint32_t>(s.conv.extent(static_cast<int>(k)))) / s.conv.stride[k] + 1;
  s.pool = random_geometry(random, 4, map, true);
  s.map = random() % 3 == 0 ? DType::kF32 : random() % 2 ? DType::kU8 : DType::kI16;
  s.shortcut = random() % 3 == 0;
  s.average = random() % 4 == 0;
  s.ceil = random() % 3 == 0;
  return s;
}

TEST(Bands, RandomModelsGiveTheSameBits) {
  std::mt19937 random(7);
  int banded = 0, checked = 0;
  for (int round = 0; round < 400; ++round) {
    const Spec spec = random_spec(random);
    const auto model = model_of(spec, random);
    try {
      check_model(*model);
    } catch (const Error&) {
      continue;  // a window without an element
    }
    ++checked;
    const uint64_t map_bytes = model->values[1].bytes, samples = 1 + random() % 5;
    const uint64_t band_bytes = random() % 3 == 0 ? 1 : 1 + random() % (map_bytes / 2 + 1);
    const unsigned threads = 1 + random() % 3;
    const uint64_t cache = random() % 2 ? 1 : model->arena_bytes * 3;  // one sample at a time, or three
    SessionOptions whole = options(1, kNever, cache), banded_run = options(threads, band_bytes, cache);
    if (const MinimalKernel* minimal = find_minimal_kernel(nullptr); minimal && round % 2) whole.kernel = banded_run.kernel = minimal->name;
    Session one(model, whole), other(model, banded_run);
    banded += Bands(*model, band_bytes).begin_at(0);
    ASSERT_FALSE(Bands(*model, kNever).begin_at(0));
    Call run(*model, samples, random);
    const auto expected = run.by(one, samples);
    ASSERT_EQ(run.by(other, samples), expected) << "round " << round << ", " << threads << " threads, bands of " << band_bytes << " bytes";
    ASSERT_EQ(run.by(other, samples), expected) << "again, round " << round;
  }
  EXPECT_GT(checked, 300);
  EXPECT_GT(banded, 250);
}

Spec plain() {
  Spec s;
  for (uint32_t k = 1; k < 3; ++k) {
    s.conv.kernel[k] = s.pool.kernel[k] = 3;
    s.conv.pad_begin[k] = s.conv.pad_end[k] = s.pool.pad_begin[k] = s.pool.pad_end[k] = 1;
    s.pool.stride[k] = 2;
  }
  s.size[0] = s.size[1] = 20;
  return s;
}

// A stem: few channels, and max pooling of 3 x 3 every 2 pixels.
Spec random_stem(std::mt19937& random) {
  Spec s;
  for (uint32_t& n : s.size) n = 8 + random() % 60;
  s.int8 = true;
  s.channels = 1 + random() % (random() % 4 ? 4 : 14);
  s.outputs = 1 + random() % (random() % 2 ? 70 : 200);
  s.conv = random_geometry(random, 7, s.size, false);
  if (random() % 2) s.conv.kernel[2] = std::min(s.size[1], 3 + 2 * static_cast<uint32_t>(random() % 3));
  s.conv.dilation[2] = 1;
  for (uint32_t k = 1; k < 3; ++k) s.pool.kernel[k] = 3, s.pool.stride[k] = 2, s.pool.pad_begin[k] = 1, s.pool.pad_end[k] = random() % 2;
  s.fixed = random() % 3 != 0;
  s.map = s.fixed ? DType::kI16 : DType::kF32;
  s.padding = random() % 3 == 0;
  s.ceil = random() % 3 == 0;
  s.act = static_cast<int>(random() % 3);
  if (random() % 4 != 0) s.least = -127;
  return s;
}

TEST(Bands, PooledSumsGiveTheSameBits) {
  std::mt19937 random(17);
  int checked = 0, pooled = 0;
  for (int round = 0; round < 400; ++round) {
    const Spec spec = random_stem(random);
    const auto model = model_of(spec, random);
    try {
      check_model(*model);
    } catch (const Error&) {
      continue;
    }
    ++checked;
    const uint64_t samples = 1 + random() % 3;
    const unsigned threads = 1 + random() % 3;
    SessionOptions step_by_step = options(1, kNever);
    step_by_step.kernel = "portable";
    Session portable(model, step_by_step), unbanded(model, options(threads, kNever)), banded(model, options(threads, 1));
    const bool sums = banded.prepared().ops[0].pooled != nullptr;
    pooled += sums && Bands(*model, 1).begin_at(0);
    Call run(*model, samples, random);
    const auto expected = run.by(portable, samples);
    ASSERT_EQ(run.by(unbanded, samples), expected) << "round " << round << ", row by row";
    ASSERT_EQ(run.by(banded, samples), expected) << "round " << round << ", pooled, " << threads << " threads";
  }
  EXPECT_GT(checked, 250);
  EXPECT_GT(pooled, find_int8_kernel(nullptr)->maxima != nullptr ? 100 : -1);
}

// What shows the order of pooling and steps.
TEST(Bands, SumsThatMustNotBePooledAreNot) {
  if (find_int8_kernel(nullptr)->maxima == nullptr) GTEST_SKIP();
  std::mt19937 random(23);
  Spec spec = plain();
  spec.int8 = spec.fixed = true;
  spec.map = DType::kI16;
  spec.least = -127;
  const auto pooled = [&](const Spec& s, const auto& change) {
    const auto model = model_of(s, random);
    change(*model, const_cast<Arrays&>(static_cast<const Arrays&>(*model->storage)));
    check_model(*model);
    return Session(model, options(1, 256)).prepared().ops[0].pooled != nullptr;
  };
  const auto nothing = [](Model&, Arrays&) {};
  EXPECT_TRUE(pooled(spec, nothing));
  EXPECT_FALSE(pooled(spec, [](Model&, Arrays& a) { a.factors[3] = -1, a.int8[3 * 27] = -128; })) << "a weight that cannot be negated";
  EXPECT_TRUE(pooled(spec, [](Model&, Arrays& a) { a.factors[3] = 1, a.int8[3 * 27] = -128; }));
  EXPECT_FALSE(pooled(spec, [](Model&, Arrays& a) { a.terms[3] = std::numeric_limits<float>::quiet_NaN(); })) << "NaN";
  EXPECT_FALSE(pooled(spec, [](Model&, Arrays& a) { a.factors[3] = std::numeric_limits<float>::infinity(); })) << "0 times infinity";
  EXPECT_FALSE(pooled(spec, [](Model& m, Arrays&) { m.ops[0].steps.insert(m.ops[0].steps.begin() + 1, {StepKind::kPrelu, kNone, kNone, kNone, -0.5f, 0, 0}); }))
      << "a chain that turns";
  Spec other = spec;
  other.pool.stride[2] = 1;
  EXPECT_FALSE(pooled(other, nothing)) << "other windows";
  other = spec;
  other.average = true;
  other.fixed = false;
  EXPECT_FALSE(pooled(other, nothing)) << "a mean";
  other = spec;
  other.fixed = false;
  EXPECT_FALSE(pooled(other, nothing)) << "the pooling reads floats of an i16 map";
  other.map = DType::kF32;
  EXPECT_TRUE(pooled(other, nothing));
  EXPECT_FALSE(pooled(other, [](Model&, Arrays& a) { a.terms[3] = -0.0f; })) << "zeros of two signs";
  other.act = 1;
  EXPECT_FALSE(pooled(other, nothing)) << "zeros of two signs, by PRELU";
}

// Runs the model both ways, expects bands or none, and the same answers.
void expect(const std::shared_ptr<Model>& model, bool banded, const char* what) {
  std::mt19937 random(3);
  check_model(*model);
  EXPECT_EQ(Bands(*model, 256).begin_at(0), banded) << what;
  Session one(model, options(1, kNever)), other(model, options(2, 256));
  Call run(*model, 3, random);
  const auto expected = run.by(one, 3);
  EXPECT_EQ(run.by(other, 3), expected) << what;
}

TEST(Bands, PlansThatShareMemoryRunWithoutThem) {
  std::mt19937 random(5);
  for (bool shortcut : {false, true}) {
    Spec spec = plain();
    spec.shortcut = shortcut;
    const auto fresh = [&] { return model_of(spec, random); };
    auto model = fresh();
    expect(model, true, "nothing shared");
    // A compiler that does not know of bands: what the convolution reads is dead when the pooled map is born.
    model = fresh();
    model->values[2].offset = model->values[0].offset;
    expect(model, false, "the pooled map where the input was");
    model = fresh();
    model->values[3].offset = model->values[0].offset;
    expect(model, false, "its bits where the input was");
    if (!shortcut) continue;
    model = fresh();
    model->values[2].offset = model->values.back().offset;
    expect(model, false, "the pooled map where the shortcut was");
  }
}

TEST(Bands, MapsThatOthersReadRunWithoutThem) {
  std::mt19937 random(5);
  auto model = model_of(plain(), random);
  outside(*model, 1, "map", false, kChannelsFirst);
  expect(model, false, "the map is an output");

  model = model_of(plain(), random);
  OpInfo reader = model->ops[2];
  reader.in = 1;
  reader.steps[0].value = add_value(*model, DType::kF32, model->values[1].dims);
  model->ops.push_back(reader);
  expect(model, false, "another op reads the map");

  Spec same = plain();
  same.pool.stride[1] = same.pool.stride[2] = 1;
  model = model_of(same, random);
  model->ops[1].steps.insert(model->ops[1].steps.begin(), {StepKind::kAdd, 1, kNone, kNone, 0, 0, 0});
  expect(model, false, "the pooling adds the map");

  model = model_of(plain(), random);
  model->ops[1].steps[0].value = 4;  // y; what it came from becomes bits as well
  model->ops.erase(model->ops.begin() + 2);
  const uint64_t behind = model->values.back().offset + model->values.back().bytes;
  model->values[2] = model->values[3];
  model->values[2].offset = behind;
  model->ops[1].steps.push_back({StepKind::kStoreBits, 2, 3, kNone, 0, 0, 0});
  expect(model, false, "the pooled map is an output, and the input may be the same array");
}

TEST(Bands, ProfilesTellBothOps) {
  std::mt19937 random(11);
  Spec spec = plain();
  spec.size[0] = spec.size[1] = 80;
  spec.outputs = 64;
  const auto model = model_of(spec, random);
  check_model(*model);
  for (unsigned threads : {1u, 2u}) {
    Session session(model, options(threads, 4096));
    ASSERT_TRUE(Bands(*model, 4096).begin_at(0));
    EXPECT_GE(session.scratch_bytes(), session.prepared().scratch_bytes + 4096);
    Call run(*model, 1, random);
    ExternalTensor in, out[2];
    in.data = run.inputs[0].data();
    contiguous_strides(model->values[0], in.strides);
    for (size_t i = 0; i < 2; ++i) {
      out[i].data = run.outputs[i].data();
      contiguous_strides(model->values[model->outputs[i]], out[i].strides);
    }
    std::vector<uint64_t> ns;
    session.run(1, &in, out, &ns);
    ASSERT_EQ(ns.size(), 4u);
    EXPECT_GT(ns[0], 0u);
    EXPECT_GT(ns[1], 0u);
  }
}

}  // namespace
}  // namespace bitwright
