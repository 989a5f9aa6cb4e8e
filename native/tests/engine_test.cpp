// The engine below Python: checksums, kernel selection, the C ABI.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <vector>

#include "bitwright.h"
#include "crc32.h"
#include "error.h"
#include "functional.h"
#include "selection.h"
#include "session.h"
#include "storage.h"

namespace bitwright {
namespace {

TEST(Crc32, KnownValues) {
  EXPECT_EQ(crc32("", 0), 0u);
  EXPECT_EQ(crc32("123456789", 9), 0xCBF43926u);
  const std::vector<uint8_t> zeros(1000);
  EXPECT_EQ(crc32(zeros.data(), 32), 0x190A55ADu);
}

TEST(Crc32, LargeDataInPartsIsTheSame) {
  std::mt19937 random(1);
  std::vector<uint8_t> data(100'003);
  for (auto& byte : data) byte = static_cast<uint8_t>(random());
  uint32_t crc = 0xFFFFFFFFu;  // bit by bit
  std::vector<uint32_t> expected{0};
  for (uint8_t byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0xEDB88320u : 0u);
    expected.push_back(~crc);
  }
  for (size_t size : {size_t{16383}, size_t{16384}, size_t{16385}, size_t{16391}, size_t{32767}, size_t{65543}, size_t{99'999}, data.size()})
    EXPECT_EQ(crc32(data.data(), size), expected[size]) << size;
  for (int i = 0; i < 200; ++i) {
    const size_t size = random() % (data.size() + 1);
    ASSERT_EQ(crc32(data.data(), size), expected[size]) << size;
  }
}

TEST(Storage, BuffersOfAnySizeAreAligned) {
  for (size_t size : {size_t{1}, size_t{4096}, size_t{131'071}, size_t{131'072}, size_t{1'000'001}, (size_t{64} << 20) + 1}) {
    AlignedBuffer buffer(size, true);
    auto* bytes = buffer.as<uint8_t>();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 64, 0u);
    EXPECT_EQ(std::count(bytes, bytes + size, 0), static_cast<std::ptrdiff_t>(size));
    bytes[size - 1] = 1;
    AlignedBuffer moved(std::move(buffer));
    EXPECT_EQ(moved.as<uint8_t>()[size - 1], 1);
    buffer = std::move(moved);
    EXPECT_EQ(buffer.size(), size);
  }
}

TEST(Selection, UnknownNamesListTheKnown) {
  try {
    select_kernels("mmx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.status, Status::kKernel);
    EXPECT_NE(std::string(error.what()).find("unknown kernel 'mmx'; known: instruction sets portable"), std::string::npos);
  }
  EXPECT_THROW(select_kernels("bconv_portable,"
                              "nothing"),
               Error);
  EXPECT_STREQ(select_kernels("bconv_portable,fconv_portable").binary->name, "bconv_portable");
}

BinaryConvProblem small_problem(const std::vector<uint32_t>& weight, const std::vector<float>& threshold) {
  BinaryConvProblem p;
  p.in = {1, 3, 3, 2};
  p.out = {1, 3, 3};
  p.out_channels = 1;
  p.geometry.kernel[1] = p.geometry.kernel[2] = 3;
  p.geometry.pad_begin[1] = p.geometry.pad_begin[2] = p.geometry.pad_end[1] = p.geometry.pad_end[2] = 1;
  p.weight = weight.data();
  p.weight_elements = weight.size();
  p.threshold = threshold.data();
  p.threshold_elements = threshold.size();
  return p;
}

TEST(Functional, ZeroPaddingCountsNothing) {
  const std::vector<uint32_t> weight(9, 3);  // all +1
  const std::vector<float> threshold{0.0f};
  Session session(binary_conv_model(small_problem(weight, threshold)), {});
  std::vector<float> x(18, 1.0f), y(9);
  ExternalTensor in, out;
  in.data = x.data();
  out.data = y.data();
  contiguous_strides(session.model().values[session.model().inputs[0]], in.strides);
  contiguous_strides(session.model().values[session.model().outputs[0]], out.strides);
  session.run(1, &in, &out);
  EXPECT_EQ(y, (std::vector<float>{8, 12, 8, 12, 18, 12, 8, 12, 8}));
}

TEST(Functional, RefusesWhatDoesNotFit) {
  const std::vector<uint32_t> weight(9, 3), tail(9, 7);
  const std::vector<float> one{0.0f}, three{0, 0, 0};
  EXPECT_THROW(binary_conv_model(small_problem(tail, one)), Error);
  EXPECT_THROW(binary_conv_model(small_problem(weight, three)), Error);
  auto p = small_problem(weight, one);
  p.out = {1, 3, 4};
  EXPECT_THROW(binary_conv_model(p), Error);
}

std::vector<uint8_t> corpus_file(const char* name) {
  std::ifstream file(std::filesystem::path(BITWRIGHT_CORPUS) / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(CApi, RunsAModel) {
  const std::vector<uint8_t> bytes = corpus_file("dense.bwm");
  ASSERT_FALSE(bytes.empty());
  bitwright_model* model = nullptr;
  ASSERT_EQ(bitwright_model_from_memory(bytes.data(), bytes.size(), &model), BITWRIGHT_OK) << bitwright_error();
  EXPECT_EQ(bitwright_model_inputs(model), 1u);
  EXPECT_EQ(bitwright_model_outputs(model), 1u);
  bitwright_tensor tensor;
  ASSERT_EQ(bitwright_model_input(model, 0, &tensor), BITWRIGHT_OK);
  EXPECT_STREQ(tensor.name, "x");
  EXPECT_EQ(tensor.type, BITWRIGHT_F32);
  EXPECT_EQ(tensor.rank, 1u);
  EXPECT_EQ(tensor.dims[0], 70u);
  EXPECT_EQ(tensor.sample_elements, 70u);
  EXPECT_EQ(bitwright_model_meta(model)[0], '{');
  EXPECT_EQ(bitwright_model_output(model, 1, &tensor), BITWRIGHT_ERROR_ARGUMENT);
  EXPECT_STREQ(bitwright_error(), "output 1: the model has 1");

  bitwright_session *portable = nullptr, *best = nullptr, *none = nullptr;
  ASSERT_EQ(bitwright_session_create(model, 1, "portable", &portable), BITWRIGHT_OK);
  ASSERT_EQ(bitwright_session_create(model, 2, nullptr, &best), BITWRIGHT_OK);
  EXPECT_EQ(bitwright_session_create(model, 1, "mmx", &none), BITWRIGHT_ERROR_KERNEL);
  EXPECT_EQ(none, nullptr);
  bitwright_model_close(model);  // the sessions keep it

  constexpr size_t kBatch = 100;
  std::vector<float> x(kBatch * 70), a(kBatch * 3), b(kBatch * 3);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 7919) % 13) - 6.0f;
  const void* in[] = {x.data()};
  void *out_a[] = {a.data()}, *out_b[] = {b.data()};
  ASSERT_EQ(bitwright_session_run(portable, kBatch, in, out_a), BITWRIGHT_OK);
  ASSERT_EQ(bitwright_session_run(best, kBatch, in, out_b), BITWRIGHT_OK);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5f * (1 + std::abs(a[i])));
  EXPECT_NE(std::accumulate(a.begin(), a.end(), 0.0f), 0.0f);
  EXPECT_EQ(bitwright_session_run(best, 1, nullptr, out_b), BITWRIGHT_ERROR_ARGUMENT);
  const void* null_in[] = {nullptr};
  EXPECT_EQ(bitwright_session_run(best, 1, null_in, out_b), BITWRIGHT_ERROR_ARGUMENT);
  EXPECT_EQ(bitwright_session_run(best, 0, null_in, out_b), BITWRIGHT_OK);
  bitwright_session_close(portable);
  bitwright_session_close(best);
  bitwright_session_close(nullptr);
  bitwright_model_close(nullptr);
}

TEST(CApi, Errors) {
  bitwright_model* model = nullptr;
  EXPECT_EQ(bitwright_model_open("/nonexistent/file.bwm", &model), BITWRIGHT_ERROR_FILE);
  EXPECT_NE(std::strstr(bitwright_error(), "/nonexistent/file.bwm"), nullptr);
  EXPECT_EQ(bitwright_model_open(nullptr, &model), BITWRIGHT_ERROR_ARGUMENT);
  EXPECT_EQ(bitwright_model_from_memory("nonsense", 8, &model), BITWRIGHT_ERROR_MODEL);
  EXPECT_NE(std::strstr(bitwright_error(), "not a .bwm file"), nullptr);
  EXPECT_EQ(model, nullptr);
  EXPECT_EQ(bitwright_model_from_memory(nullptr, 8, &model), BITWRIGHT_ERROR_ARGUMENT);
}

}  // namespace
}  // namespace bitwright
