// Sessions in several threads: one shared by all, one each, made and destroyed while others run. `make tsan` runs these under ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "functional.h"
#include "reader.h"
#include "session.h"

namespace bitwright {
namespace {

// A model with its inputs for some samples and what one thread answers.
struct Problem {
  std::shared_ptr<const Model> model;
  uint64_t samples = 0;
  std::vector<std::vector<uint8_t>> inputs, answers;
  std::vector<const void*> in;

  static size_t bytes_of(const ValueInfo& v) { return v.pixels() * v.channels() * 4; }

  Problem(const std::string& name, uint64_t samples_)
      : Problem(read_model_file((std::filesystem::path(BITWRIGHT_CORPUS) / name).string()), samples_) {}

  Problem(std::shared_ptr<const Model> model_, uint64_t samples_) : model(std::move(model_)), samples(samples_) {
    for (uint32_t id : model->inputs) {
      const ValueInfo& v = model->values[id];
      inputs.emplace_back(samples * bytes_of(v));
      if (v.dtype == DType::kF32)
        for (size_t i = 0; i < inputs.back().size() / 4; ++i)
          reinterpret_cast<float*>(inputs.back().data())[i] = static_cast<float>((i * 7919) % 13) - 6.0f;
    }
    for (const auto& x : inputs) in.push_back(x.data());
    Session alone(model, SessionOptions());
    answers = run(alone);
  }

  std::vector<std::vector<uint8_t>> run(Session& session) const {
    std::vector<std::vector<uint8_t>> outputs;
    std::vector<void*> out;
    for (uint32_t id : model->outputs) outputs.emplace_back(samples * bytes_of(model->values[id]));
    for (auto& y : outputs) out.push_back(y.data());
    session.run_contiguous(samples, in.data(), out.data());
    return outputs;
  }
};

SessionOptions threads(unsigned count) {
  SessionOptions options;
  options.threads = count;
  options.cache_bytes = 1;  // micro-batches of one sample
  return options;
}

template <class Body>
void in_threads(unsigned count, const Body& body) {
  std::vector<std::thread> all;
  for (unsigned i = 0; i < count; ++i) all.emplace_back([&body, i] { body(i); });
  for (std::thread& t : all) t.join();
}

// Large enough to be shared by threads.
std::shared_ptr<const Model> large_layer() {
  BinaryConvProblem p;
  p.in = {1, 16, 16, 64};
  p.out = {1, 16, 16};
  p.out_channels = 128;
  for (int axis : {1, 2}) p.geometry.kernel[axis] = 3, p.geometry.pad_begin[axis] = p.geometry.pad_end[axis] = 1;
  std::vector<uint32_t> weight(size_t{128} * 9 * 2);
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<uint32_t>(i * 2654435761u);
  const float threshold = 0;
  p.weight = weight.data();
  p.weight_elements = weight.size();
  p.threshold = &threshold;
  p.threshold_elements = 1;
  return binary_conv_model(p);
}

const char* const kModels[] = {"all_ops.bwm", "dense.bwm", "pooled_bits.bwm"};

TEST(SessionThreads, ShareOneSession) {
  for (const char* name : kModels) {
    const Problem problem(name, 7);
    Session session(problem.model, threads(2));
    std::atomic<int> wrong{0};
    in_threads(4, [&](unsigned) {
      for (int i = 0; i < 10; ++i) wrong += problem.run(session) != problem.answers;
    });
    EXPECT_EQ(wrong.load(), 0) << name;
  }
}

TEST(SessionThreads, WorkersHelpOneOrTwoCallers) {
  const Problem problem(large_layer(), 3);
  Session session(problem.model, threads(3));
  std::atomic<int> wrong{0};
  for (unsigned callers : {1u, 2u})
    in_threads(callers, [&](unsigned) {
      for (int i = 0; i < 20; ++i) wrong += problem.run(session) != problem.answers;
    });
  EXPECT_EQ(wrong.load(), 0);
}

TEST(SessionThreads, EachHasItsOwn) {
  for (const char* name : kModels) {
    const Problem problem(name, 5);
    std::atomic<int> wrong{0};
    in_threads(3, [&](unsigned) {
      Session session(problem.model, threads(2));
      for (int i = 0; i < 10; ++i) wrong += problem.run(session) != problem.answers;
    });
    EXPECT_EQ(wrong.load(), 0) << name;
  }
}

TEST(SessionThreads, MadeAndDestroyedWhileOthersRun) {
  const Problem problem("all_ops.bwm", 3);
  std::atomic<int> wrong{0};
  in_threads(3, [&](unsigned thread) {
    for (int i = 0; i < 10; ++i) {
      Session session(problem.model, threads(thread + 1));
      if (i % 3 != 0) wrong += problem.run(session) != problem.answers;
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

TEST(SessionThreads, ProfilesBesideRuns) {
  const Problem problem("all_ops.bwm", 3);
  Session session(problem.model, threads(2));
  std::atomic<int> wrong{0};
  in_threads(2, [&](unsigned thread) {
    for (int i = 0; i < 5; ++i) {
      if (thread == 0)
        session.time_op(static_cast<size_t>(i) % problem.model->ops.size(), 2, 3);
      else
        wrong += problem.run(session) != problem.answers;
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace bitwright
