// Kernels chosen by timing: what is offered, what is refused, and that results do not change.
#include "tune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bitwright.h"
#include "describe.h"
#include "error.h"
#include "reader.h"

namespace bitwright {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> models() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(BITWRIGHT_CORPUS))
    if (entry.path().extension() == ".bwm") out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// Values that every input takes: small numbers, whose bytes are good ids, pixels and floats alike.
std::vector<std::vector<uint32_t>> inputs_of(const Model& m, uint32_t batch) {
  std::vector<std::vector<uint32_t>> arrays;
  uint32_t state = 1;
  for (uint32_t id : m.inputs) {
    const ValueInfo& v = m.values[id];
    std::vector<uint32_t> a(size_t{batch} * v.pixels() * v.channels());
    for (uint32_t& x : a) {
      state = state * 1664525u + 1013904223u;
      const float f = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-30f;
      if (v.dtype == DType::kF32)
        std::memcpy(&x, &f, 4);
      else if (v.dtype == DType::kU8)
        x = state;
    }
    arrays.push_back(std::move(a));
  }
  return arrays;
}

std::vector<std::vector<uint32_t>> run(Session& session, uint32_t batch) {
  const Model& m = session.model();
  auto in = inputs_of(m, batch);
  std::vector<std::vector<uint32_t>> out;
  std::vector<const void*> from;
  std::vector<void*> to;
  for (auto& a : in) from.push_back(a.data());
  for (uint32_t id : m.outputs) out.emplace_back(size_t{batch} * m.values[id].pixels() * m.values[id].channels());
  for (auto& a : out) to.push_back(a.data());
  session.run_contiguous(batch, from.data(), to.data());
  return out;
}

bool environment_forces() {
  const char* kernel = std::getenv("BITWRIGHT_KERNEL");
  return kernel && *kernel;
}

Session session_of(const std::shared_ptr<const Model>& model, const Choices& choices = {}, unsigned threads = 1, const std::string& kernel = "") {
  SessionOptions options;
  options.choices = choices;
  options.threads = threads;
  options.kernel = kernel;
  return Session(model, options);
}

TEST(Tune, EveryKernelOfEveryOpGivesTheSameBits) {
  if (environment_forces()) GTEST_SKIP();
  size_t tried = 0;
  for (const fs::path& path : models()) {
    const std::shared_ptr<const Model> model = read_model_file(path.string());
    Session standard = session_of(model);
    const auto expected = run(standard, 3);
    for (size_t op = 0; op < model->ops.size(); ++op) {
      const std::vector<std::string> names = kernels_for(standard, op);
      if (!names.empty()) {
        EXPECT_EQ(names.front(), facts_of(standard.prepared(), op).kernel);
      }
      for (const std::string& name : names) {
        Session other = session_of(model, {{op, name}}, 2);
        EXPECT_EQ(text_of(choice_of(other.prepared(), op)), name) << path << " op " << op;
        EXPECT_EQ(run(other, 3), expected) << path << " op " << op << " by " << name;
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 20u);
}

TEST(Tune, ItemsAndThreadsGiveTheSameBits) {
  if (environment_forces()) GTEST_SKIP();
  size_t tried = 0;
  for (const fs::path& path : models()) {
    const std::shared_ptr<const Model> model = read_model_file(path.string());
    Session standard = session_of(model);
    const auto expected = run(standard, 5);
    for (const uint32_t pixels : {1u, 7u, 40u, 300u, 100'000u}) {
      Choices choices;
      for (size_t op = 0; op < model->ops.size(); ++op) {
        const std::string operation = operation_of(model->ops[op], model->values[model->ops[op].in]);
        if (operation.empty()) continue;
        choices[op] = std::string(facts_of(standard.prepared(), op).kernel) + " pixels=" + std::to_string(pixels) + (op % 2 ? " threads=2" : " threads=1");
      }
      Session other = session_of(model, choices, 3);
      for (const auto& [op, text] : choices) EXPECT_EQ(text_of(choice_of(other.prepared(), op)), text);
      EXPECT_EQ(run(other, 5), expected) << path << ", items of " << pixels;
      tried += choices.size();
    }
  }
  EXPECT_GT(tried, 20u);
}

TEST(Tune, TheChoiceWasTimed) {
  if (environment_forces()) GTEST_SKIP();
  const std::shared_ptr<const Model> model = read_model_file(models().front().string());
  for (const unsigned threads : {1u, 3u}) {
    Session session = session_of(model, {}, threads);
    const auto expected = run(session, 2);
    for (size_t op = 0; op < model->ops.size(); ++op) {
      const TunedOp tuned = tune_op(session, op, 2);
      EXPECT_EQ(tuned.standard, facts_of(session.prepared(), op).kernel);
      const std::vector<std::string> names = kernels_for(session, op);
      ASSERT_GE(tuned.times.size(), names.size());
      ASSERT_EQ(tuned.times.empty(), names.empty());
      const auto timed = [&](const std::string& choice) {
        return std::any_of(tuned.times.begin(), tuned.times.end(), [&](const KernelTime& t) { return t.choice == choice; });
      };
      if (names.empty()) {
        EXPECT_EQ(tuned.chosen, tuned.standard);
        continue;
      }
      EXPECT_EQ(tuned.times.front().choice, tuned.standard);
      EXPECT_TRUE(timed(tuned.chosen));
      for (const std::string& name : names) EXPECT_TRUE(timed(name)) << name;
      if (threads > 1) {
        EXPECT_TRUE(std::any_of(tuned.times.begin(), tuned.times.end(), [](const KernelTime& t) { return parse_choice(t.choice).threads == 1; }));
      }
      for (const KernelTime& t : tuned.times) EXPECT_GT(t.ns, 0u) << t.choice;
      EXPECT_EQ(tuned.chosen == tuned.standard, tuned.gain == 1);
      Session other = session_of(model, {{op, tuned.chosen}}, threads);
      EXPECT_EQ(run(other, 2), expected);
    }
  }
}

TEST(Tune, ChoicesAreTexts) {
  for (const char* text : {"bconv_avx2", "bconv_avx2/3x64", "k pixels=1", "k threads=65536", "k pixels=1048576 threads=3"}) EXPECT_EQ(text_of(parse_choice(text)), text);
  const Choice choice = parse_choice("k threads=2 pixels=64");
  EXPECT_EQ(choice.kernel, "k");
  EXPECT_EQ(choice.pixels, 64u);
  EXPECT_EQ(choice.threads, 2u);
  for (const char* text : {"", " pixels=1", "k ", "k  pixels=1", "k pixels", "k pixels=", "k pixels=0", "k pixels=1048577", "k pixels=-1", "k pixels=1x", "k pixels=99999999999",
                           "k threads=65537", "k pixels=1 pixels=2", "k rows=4", "k pixels=1,threads=1"})
    EXPECT_THROW(parse_choice(text), Error) << text;
}

TEST(Tune, LayersAreToldApart) {
  for (const fs::path& path : models()) {
    const std::shared_ptr<const Model> model = read_model_file(path.string());
    for (size_t a = 0; a < model->ops.size(); ++a)
      for (size_t b = 0; b < a; ++b) {
        const OpInfo &x = model->ops[a], &y = model->ops[b];
        const bool same_shape = x.opcode == y.opcode && model->values[x.in].dims == model->values[y.in].dims && x.out_channels == y.out_channels &&
                                std::memcmp(&x.geometry.kernel, &y.geometry.kernel, sizeof x.geometry.kernel) == 0 &&
                                std::memcmp(&x.geometry.stride, &y.geometry.stride, sizeof x.geometry.stride) == 0;
        if (!same_shape) {
          EXPECT_NE(layer_text(*model, a), layer_text(*model, b)) << path;
        }
      }
  }
}

TEST(Tune, RefusesWhatCannotBe) {
  const std::shared_ptr<const Model> model = read_model_file(models().front().string());
  const auto message = [](const auto& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const size_t count = model->ops.size();
  size_t op = 0;
  while (std::string(operation_of(model->ops[op], model->values[model->ops[op].in])) != "bconv") ++op;
  EXPECT_NE(message([&] { session_of(model, {{count, "bconv_portable"}}); }).find("the model has " + std::to_string(count)), std::string::npos);
  EXPECT_NE(message([&] { session_of(model, {{op, "bconv_nowhere"}}); }).find("unknown kernel 'bconv_nowhere'"), std::string::npos);
  EXPECT_NE(message([&] { session_of(model, {{op, "bconv_portable/4x64"}}); }).find("bconv_portable has no tiles"), std::string::npos);
  EXPECT_NE(message([&] { session_of(model, {{op, "bconv_portable pixels=none"}}); }).find("'none' is not a number"), std::string::npos);
  EXPECT_NE(message([&] { session_of(model, {{op, "fconv_portable"}}); }).find("of the operation fconv; one of bconv is needed"), std::string::npos);
  Session forced = session_of(model, {}, 1, "portable");
  EXPECT_NE(message([&] { tune_op(forced, op, 1); }).find("forced"), std::string::npos);
  EXPECT_NE(message([&] { kernels_for(forced, count); }).find("the model has"), std::string::npos);
  if (environment_forces()) return;
  Session free = session_of(model);
  EXPECT_NE(message([&] { tune_op(free, op, 0); }).find("the batch is empty"), std::string::npos);
}

TEST(Tune, CInterface) {
  if (environment_forces()) GTEST_SKIP();
  bitwright_model* model = nullptr;
  const fs::path path = models().front();
  ASSERT_EQ(bitwright_model_open(path.string().c_str(), &model), BITWRIGHT_OK) << bitwright_error();
  bitwright_session* session = nullptr;
  ASSERT_EQ(bitwright_session_create(model, 1, nullptr, &session), BITWRIGHT_OK) << bitwright_error();
  const std::shared_ptr<const Model> own = read_model_file(path.string());
  const auto in = inputs_of(*own, 2);
  const auto answers = [&] {
    std::vector<std::vector<uint32_t>> out;
    std::vector<const void*> from;
    std::vector<void*> to;
    for (const auto& a : in) from.push_back(a.data());
    for (uint32_t id : own->outputs) out.emplace_back(size_t{2} * own->values[id].pixels() * own->values[id].channels());
    for (auto& a : out) to.push_back(a.data());
    EXPECT_EQ(bitwright_session_run(session, 2, from.data(), to.data()), BITWRIGHT_OK) << bitwright_error();
    return out;
  };
  const auto before = answers();
  EXPECT_EQ(bitwright_session_tune(session, 2), BITWRIGHT_OK) << bitwright_error();
  EXPECT_EQ(answers(), before);
  EXPECT_EQ(bitwright_session_tune(session, 0), BITWRIGHT_ERROR_ARGUMENT);
  EXPECT_EQ(bitwright_session_tune(nullptr, 1), BITWRIGHT_ERROR_ARGUMENT);
  bitwright_session_close(session);
  bitwright_model_close(model);
}

}  // namespace
}  // namespace bitwright
