// Binary convolutions with a chain of steps: as the best kernels run them, in registers where they can, and as the portable ones do, step by step
// through memory. Equal bits, no tolerance.
#include <initializer_list>

#include "executor.h"
#include "kernels_common.h"
#include "prepare.h"

namespace bitwright::kernels_test {
namespace {

struct Constants : Storage {
  std::vector<std::vector<uint32_t>> words;
};

class Layer {
 public:
  explicit Layer(Random& r, bool fixed) : r_(r), fixed_(fixed) {
    model_->storage = constants_;
    constants_->words.reserve(32);
    OpInfo op;
    op.opcode = Opcode::kBconv;
    const uint32_t groups = below(r, 4) == 0 ? 2 : 1, outputs = 32 * between(r, 1, 5);
    size_ = {between(r, 1, 9), between(r, 3, 9)};
    op.out_channels = outputs * groups;
    Geometry& g = op.geometry;
    g.groups = groups;
    op.low = below(r, 3) == 0 ? 1 : 0;
    g.pad_mode = op.low == 1 ? PadMode::kZero : std::initializer_list<PadMode>{PadMode::kZero, PadMode::kOne, PadMode::kMinusOne, PadMode::kReplicate}.begin()[below(r, 4)];
    for (int k = 1; k < 3; ++k) {
      g.kernel[k] = size_[k - 1] >= 3 && below(r, 2) == 0 ? 3 : 1;
      g.stride[k] = between(r, 1, 2);
      g.pad_begin[k] = g.pad_end[k] = g.kernel[k] / 2;
      op.out[static_cast<size_t>(k)] = (size_[k - 1] + 2 * g.pad_begin[k] - g.kernel[k]) / g.stride[k] + 1;
    }
    const uint32_t channels = below(r, 16) == 0 ? 512 : below(r, 3) == 0 ? between(r, 1, 70) : 32 * between(r, 1, 4);
    op.in = value(DType::kBits, size_, channels * groups, groups);
    op.weight = constant(size_t{op.out_channels} * g.taps() * ((channels + 31) / 32), [&] { return r(); }, ConstType::kU32);
    mask_tails(op.weight, channels);
    op_ = &op;
    fixed ? shorts() : floats();
    model_->ops.push_back(op);
  }

  std::shared_ptr<const Model> model() const { return model_; }
  // The same with the value that is stored where the one that is added lies, if there are both.
  std::shared_ptr<const Model> in_place() const {
    auto m = std::make_shared<Model>(*model_);
    if (!read_.empty() && m->values[written_[0]].dtype == m->values[read_[0]].dtype) m->values[written_[0]].offset = m->values[read_[0]].offset;
    return m;
  }
  const std::vector<uint32_t>& read() const { return read_; }
  const std::vector<uint32_t>& written() const { return written_; }

 private:
  uint32_t value(DType dtype, const std::vector<uint32_t>& size, uint32_t channels, uint32_t groups) {
    ValueInfo v;
    v.dtype = dtype;
    v.dims = {1, size[0], size[1], channels};
    v.groups = groups;
    if (dtype == DType::kI16) v.scale = 0.125f;
    v.bytes = value_bytes(v, model_->limits.arena_bytes, "value");
    v.offset = model_->arena_bytes;
    model_->arena_bytes += v.bytes;
    model_->values.push_back(v);
    return static_cast<uint32_t>(model_->values.size() - 1);
  }
  template <class Number>
  uint32_t constant(size_t n, const Number& number, ConstType type) {
    std::vector<uint32_t> words(n);
    for (uint32_t& w : words) {
      const auto x = number();
      std::memcpy(&w, &x, 4);
    }
    constants_->words.push_back(std::move(words));
    model_->constants.push_back({type, n, constants_->words.back().data()});
    return static_cast<uint32_t>(model_->constants.size() - 1);
  }
  void mask_tails(uint32_t id, uint32_t channels) {
    const uint32_t words = (channels + 31) / 32;
    if (channels % 32 == 0) return;
    for (size_t i = words - 1; i < constants_->words[id].size(); i += words) constants_->words[id][i] &= (1u << channels % 32) - 1;
  }
  uint32_t numbers() {
    return constant(op_->out_channels, [&] { return awkward(r_); }, ConstType::kF32);
  }
  uint32_t ints(int32_t low, int32_t high) {
    return constant(op_->out_channels, [&] { return static_cast<int32_t>(below(r_, static_cast<uint32_t>(high - low + 1))) + low; }, ConstType::kI32);
  }
  StepInfo& step(StepKind kind) {
    StepInfo s;
    s.kind = kind;
    s.p0 = awkward(r_), s.p1 = awkward(r_);
    op_->steps.push_back(s);
    return op_->steps.back();
  }
  uint32_t map(DType dtype, std::vector<uint32_t>& list) {
    const uint32_t groups = dtype == DType::kBits && op_->out_channels % 64 == 0 && below(r_, 3) == 0 ? 2 : 1;
    list.push_back(value(dtype, {op_->out[1], op_->out[2]}, op_->out_channels, groups));
    return list.back();
  }
  uint32_t flips() { return below(r_, 2) == 0 ? kNone : constant((op_->out_channels + 31) / 32, [&] { return r_(); }, ConstType::kU32); }
  void shift() {
    StepInfo& s = step(StepKind::kAffine);
    s.p0 = 1;
    s.b = numbers();
  }

  void floats() {
    const uint32_t affines = below(r_, 3), act = below(r_, 3), stores = between(r_, 1, 3);
    if (affines == 2) step(StepKind::kAffine).a = numbers(), op_->steps.back().p1 = 0;
    if (affines > 0) step(StepKind::kAffine).a = numbers(), op_->steps.back().b = numbers();
    if (below(r_, 3) != 0) step(StepKind::kAdd).value = map(DType::kF32, read_);
    if (act == 2) shift();
    if (act > 0) step(StepKind::kPrelu).a = numbers();
    if (act == 2) shift();
    if (stores & 1) step(StepKind::kStore).value = map(DType::kF32, written_);
    if (stores & 2) step(StepKind::kStoreBits).a = numbers(), op_->steps.back().b = flips(), op_->steps.back().value = map(DType::kBits, written_);
  }
  void shorts() {
    const uint32_t act = below(r_, 3), stores = between(r_, 1, 3);
    StepInfo& s = step(StepKind::kFixed);
    s.a = ints(-32768, 32767), s.b = ints(-32768, 32767), s.n = (below(r_, 4) == 0 ? below(r_, 16) : below(r_, 5)) | below(r_, 4) << 8;
    if (below(r_, 3) != 0) step(StepKind::kAddI16).value = map(DType::kI16, read_);
    if (act == 2) step(StepKind::kBiasI16).b = ints(-32768, 32767);
    if (act > 0) step(StepKind::kPreluI16).a = ints(-32768, 32767), op_->steps.back().n = 0;
    if (act == 2) step(StepKind::kBiasI16).b = ints(-32768, 32767);
    if (stores & 1) step(StepKind::kStoreI16).value = map(DType::kI16, written_);
    if (stores & 2) step(StepKind::kStoreBitsI16).a = ints(-32768, 32767), op_->steps.back().b = flips(), op_->steps.back().value = map(DType::kBits, written_);
  }

  Random& r_;
  bool fixed_;
  std::vector<uint32_t> size_, read_, written_;
  OpInfo* op_ = nullptr;
  std::shared_ptr<Constants> constants_ = std::make_shared<Constants>();
  std::shared_ptr<Model> model_ = std::make_shared<Model>();
};

// The op alone, on memory that holds the same everywhere.
struct Run {
  std::shared_ptr<const PreparedModel> prepared;
  AlignedBuffer memory;
  std::vector<View> views;

  Run(const std::shared_ptr<const Model>& model, const Kernels& kernels, const std::vector<uint32_t>& memory_of_sample, uint32_t samples, Pool& pool)
      : prepared(prepare(model, kernels)), memory(samples * model->arena_bytes + 64) {
    for (const ValueInfo& v : model->values) views.push_back({memory.as<uint8_t>() + v.offset, model->arena_bytes / 4});
    for (size_t i = 0; i < samples * model->arena_bytes / 4; ++i) memory.as<uint32_t>()[i] = memory_of_sample[i];
    AlignedBuffer scratch(prepared->scratch_bytes * pool.threads()), shared(prepared->shared_bytes);
    std::vector<Step> steps(prepared->step_count);
    run_op({prepared.get(), views.data(), samples, &pool, scratch.as<uint8_t>(), steps.data(), shared.as<uint8_t>()}, 0);
  }
};

// Sums may differ in which NaN they are.
bool same_element(const ValueInfo& v, uint32_t a, uint32_t b) {
  if (v.dtype != DType::kF32) return a == b;
  float x, y;
  std::memcpy(&x, &a, 4), std::memcpy(&y, &b, 4);
  return same(x, y);
}

// registers: whether some chain must run in them.
void check(const char* kernels, bool fixed, uint32_t cases, uint32_t expected, bool registers = true) {
  uint32_t in_registers = 0;
  for (const unsigned threads : {1u, 2u}) {
    Pool pool(threads);
    for (uint32_t seed = 0; seed < cases; ++seed) {
      SCOPED_TRACE(seed);
      Random r(seed);
      const Layer layer(r, fixed);
      const Model& m = *layer.model();
      const uint32_t samples = between(r, 1, 3);
      std::vector<uint32_t> memory(samples * m.arena_bytes / 4);
      for (uint32_t& w : memory) w = r();
      for (uint32_t n = 0; n < samples; ++n) {
        const auto words = [&](uint32_t id) { return memory.data() + (n * m.arena_bytes + m.values[id].offset) / 4; };
        const ValueInfo& in = m.values[m.ops[0].in];
        if (const uint32_t tail = in.group_channels() % 32)
          for (size_t i = in.words() - 1; i < (in.pixels() + 1) * in.pixel_stride(); i += in.words()) words(m.ops[0].in)[i] &= (1u << tail) - 1;
        for (const uint32_t id : layer.read())
          if (m.values[id].dtype == DType::kF32)
            for (size_t i = 0; i < m.values[id].pixels() * m.values[id].channels(); ++i) {
              const float x = awkward(r);
              std::memcpy(words(id) + i, &x, 4);
            }
      }
      const Run want(layer.model(), select_kernels("portable"), memory, samples, pool);
      const Run got(seed % 2 == 0 ? layer.model() : layer.in_place(), select_kernels(kernels), memory, samples, pool);
      EXPECT_EQ(want.prepared->ops[0].chain, nullptr);
      if (got.prepared->ops[0].chain) {
        ++in_registers;
        EXPECT_EQ(got.prepared->ops[0].chain->fixed, fixed);
      }
      for (const uint32_t id : layer.written())
        for (uint32_t n = 0; n < samples; ++n) {
          const ValueInfo& v = m.values[id];
          const auto* a = static_cast<const uint32_t*>(got.views[id].data) + n * m.arena_bytes / 4;
          const auto* b = static_cast<const uint32_t*>(want.views[id].data) + n * m.arena_bytes / 4;
          for (size_t i = 0; i < v.bytes / 4; ++i)
            ASSERT_TRUE(same_element(v, a[i], b[i])) << name_of(v.dtype) << " value, sample " << n << ", word " << i << ": " << a[i] << " instead of " << b[i];
        }
    }
  }
  if (registers) {
    EXPECT_GT(in_registers, expected);
  }
}

class Chain : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU has no such kernel";
  }
  // gfni: only whole panels of 64 channels.
  bool sliced() const { return std::string(GetParam()) == "gfni"; }
};

TEST_P(Chain, FloatsInRegistersEqualStepByStep) { check(GetParam(), false, 1200, sliced() ? 200 : 300); }

TEST_P(Chain, ShortsInRegistersEqualStepByStep) { check(GetParam(), true, 1200, sliced() ? 300 : 600); }

class LooseChain : public Chain {};

TEST_P(LooseChain, FloatsInPlaceEqualThoseElsewhere) { check(GetParam(), false, 400, 0, false); }

TEST_P(LooseChain, ShortsInPlaceEqualThoseElsewhere) { check(GetParam(), true, 400, 0, false); }

INSTANTIATE_TEST_SUITE_P(Kernels, LooseChain, testing::Values("portable", "sse42", "avx2", "avx512", "neon"), [](const auto& info) { return std::string(info.param); });

INSTANTIATE_TEST_SUITE_P(Kernels, Chain, testing::Values("avx512vpopcnt", "gfni"), [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace bitwright::kernels_test
