// Whole float layers as the engine runs them, the plain sum and minimal filtering in turn, an affine step and the store included. One thread, batch 1.
//
//   bitwright_bench --benchmark_filter=minimal
//
// Microseconds of both are medians, `ratio` is the median of the runs' ratios (above 1: minimal filtering is faster); `chosen` is 1 where the rule takes it.
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "layers.h"
#include "session.h"

using namespace bitwright;
using layers_bench::Layer;
using layers_bench::median;

namespace {

struct Floats : Storage {
  std::vector<float> weights, factors;
};

uint32_t add_value(Model& m, uint32_t size, uint32_t channels, const char* name, bool input) {
  ValueInfo v;
  v.dtype = DType::kF32;
  v.dims = {1, size, size, channels};
  v.bytes = value_bytes(v, m.limits.arena_bytes, "value");
  v.offset = m.values.empty() ? 0 : m.values.back().offset + m.values.back().bytes;
  (input ? v.is_input : v.is_output) = true;
  v.name = name;
  v.axes = {1, 2, 3, 4};
  m.values.push_back(v);
  return static_cast<uint32_t>(m.values.size() - 1);
}

std::shared_ptr<const Model> model_of(const Layer& l) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  auto m = std::make_shared<Model>();
  auto floats = std::make_shared<Floats>();
  OpInfo op;
  op.opcode = Opcode::kFconv;
  op.name = "conv";
  l.shape(op);
  op.in = add_value(*m, l.size, l.channels, "x", true);
  const uint32_t y = add_value(*m, l.out(), l.outputs, "y", false);
  for (size_t i = 0; i < size_t{l.outputs} * l.kernel * l.kernel * l.channels; ++i) floats->weights.push_back(normal(random));
  floats->factors.assign(l.outputs, 0.5f);
  m->constants.push_back({ConstType::kF32, floats->weights.size(), floats->weights.data()});
  m->constants.push_back({ConstType::kF32, floats->factors.size(), floats->factors.data()});
  op.steps.push_back({StepKind::kAffine, kNone, 1, 1, 0, 0, 0});
  op.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
  m->ops.push_back(op);
  m->storage = floats;
  check_model(*m);
  return m;
}

void layer(benchmark::State& state, const Layer& l, const MinimalKernel* kernel) {
  const auto model = model_of(l);
  const auto options = [](const std::string& name) {
    SessionOptions o;
    o.kernel = name;
    return o;
  };
  Session plain(model, options(find_float_kernel(kernel->isa)->name)), minimal(model, options(kernel->name)), chosen(model, options(kernel->isa));
  std::vector<float> x(size_t{l.size} * l.size * l.channels, 0.5f), y(model->values[1].pixels() * l.outputs);
  const void* in[] = {x.data()};
  void* out[] = {y.data()};
  const auto microseconds = [&](Session& s) {
    const auto start = std::chrono::steady_clock::now();
    s.run_contiguous(1, in, out);
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  };
  microseconds(plain), microseconds(minimal);
  std::vector<double> a, b, ratio;
  for (auto _ : state) {
    a.push_back(microseconds(plain));
    b.push_back(microseconds(minimal));
    ratio.push_back(a.back() / b.back());
  }
  state.counters["plain_us"] = median(a);
  state.counters["minimal_us"] = median(b);
  state.counters["ratio"] = median(ratio);
  state.counters["chosen"] = chosen.prepared().ops[0].minimal ? 1 : 0;
}

const bool registered = [] {
  static constexpr Layer layers[] = {
      {224, 3, 64, 7, 2},  {224, 1, 64, 7, 2},  {224, 3, 32, 3, 2},   {224, 3, 16, 3, 2},   {224, 3, 96, 11, 2}, {32, 3, 64, 3, 1},   {32, 3, 128, 3, 1},  {32, 3, 64, 5, 1},
      {28, 1, 32, 5, 1},   {128, 4, 48, 9, 1},  {64, 8, 32, 5, 2},    {32, 16, 16, 3, 1},   {16, 64, 64, 3, 1},  {8, 128, 128, 3, 1}, {56, 64, 64, 3, 1},  {28, 128, 128, 3, 1},
      {14, 256, 256, 3, 1}, {7, 512, 512, 3, 1}, {56, 64, 128, 3, 2}, {28, 128, 256, 3, 2},
  };
  for (const MinimalKernel* const* k = minimal_kernels(); *k; ++k) {
    if (!(*k)->supported()) continue;
    for (const Layer& l : layers) {
      const MinimalKernel* kernel = *k;
      benchmark::RegisterBenchmark(("minimal/" + l.name() + "/" + kernel->isa).c_str(), [l, kernel](benchmark::State& s) { layer(s, l, kernel); })
          ->Unit(benchmark::kMicrosecond)
          ->MinTime(0.15);
    }
  }
  return true;
}();

}  // namespace
