// Whole models on every instruction set that this CPU has: the answers of the portable kernels on x86-64, kept in files, must come out on any
// machine. Numbers that are not floating point are equal, floats agree to 1e-5 (libm's functions and the order of sums differ).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "bitwright.h"
#include "kernel.h"

namespace bitwright {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<char>;

constexpr size_t kBatch = 5;  // tests/runtime/golden.py

Bytes read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Other models and answers than the repository's, from the environment (benchmarks/arm_networks.py).
fs::path folder(const char* variable, const char* usual) {
  const char* given = std::getenv(variable);
  return given != nullptr ? given : usual;
}

std::vector<fs::path> goldens() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(folder("BITWRIGHT_GOLDEN", BITWRIGHT_GOLDEN))) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// Arrays of one side of a model, taken from `data` from `at` on.
struct Side {
  std::vector<bitwright_tensor> tensors;
  std::vector<Bytes> arrays;

  template <class Get>
  Side(const bitwright_model* model, size_t count, Get get, const Bytes& data, size_t& at) {
    for (size_t i = 0; i < count; ++i) {
      bitwright_tensor tensor;
      EXPECT_EQ(get(model, i, &tensor), BITWRIGHT_OK) << bitwright_error();
      const size_t bytes = kBatch * tensor.sample_elements * (tensor.type == BITWRIGHT_U8 ? 1 : 4);
      if (at + bytes > data.size()) throw std::runtime_error("a golden file is too short");
      tensors.push_back(tensor);
      arrays.emplace_back(data.begin() + static_cast<ptrdiff_t>(at), data.begin() + static_cast<ptrdiff_t>(at + bytes));
      at += bytes;
    }
  }
  template <class Pointer>
  std::vector<Pointer> pointers() {
    std::vector<Pointer> out;
    for (Bytes& a : arrays) out.push_back(a.data());
    return out;
  }
};

void expect_near(const Bytes& got, const Bytes& want, bool floats) {
  if (!floats) {
    EXPECT_EQ(got, want);
    return;
  }
  for (size_t i = 0; i < want.size(); i += 4) {
    float g, w;
    std::memcpy(&g, &got[i], 4);
    std::memcpy(&w, &want[i], 4);
    ASSERT_TRUE(g == w || std::fabs(g - w) <= 1e-5f * std::fmax(1.0f, std::fabs(w))) << "element " << i / 4 << ": " << g << " instead of " << w;
  }
}

class Golden : public testing::TestWithParam<fs::path> {};

TEST_P(Golden, EveryInstructionSetAnswersTheSame) {
  const Bytes data = read(GetParam());
  bitwright_model* model = nullptr;
  const std::string path = (folder("BITWRIGHT_CORPUS", BITWRIGHT_CORPUS) / GetParam().filename().replace_extension(".bwm")).string();
  ASSERT_EQ(bitwright_model_open(path.c_str(), &model), BITWRIGHT_OK) << bitwright_error();
  const std::unique_ptr<bitwright_model, void (*)(bitwright_model*)> closes(model, bitwright_model_close);
  size_t at = 0;
  Side inputs(model, bitwright_model_inputs(model), bitwright_model_input, data, at);
  Side outputs(model, bitwright_model_outputs(model), bitwright_model_output, data, at);
  ASSERT_EQ(at, data.size());
  for (const char* const* isa = isa_names(); *isa != nullptr; ++isa) {
    if (!isa_supported(*isa)) continue;
    SCOPED_TRACE(*isa);
    bitwright_session* session = nullptr;
    ASSERT_EQ(bitwright_session_create(model, 2, *isa, &session), BITWRIGHT_OK) << bitwright_error();
    Side got = outputs;
    for (Bytes& a : got.arrays) std::fill(a.begin(), a.end(), '\x55');
    const std::vector<const void*> in = inputs.pointers<const void*>();
    const std::vector<void*> out = got.pointers<void*>();
    EXPECT_EQ(bitwright_session_run(session, kBatch, in.data(), out.data()), BITWRIGHT_OK) << bitwright_error();
    bitwright_session_close(session);
    for (size_t i = 0; i < out.size(); ++i) {
      SCOPED_TRACE(outputs.tensors[i].name);
      expect_near(got.arrays[i], outputs.arrays[i], outputs.tensors[i].type == BITWRIGHT_F32);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(goldens()),
                         [](const testing::TestParamInfo<fs::path>& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace bitwright
