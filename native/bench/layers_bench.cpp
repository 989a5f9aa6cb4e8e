// Whole binary layers as the engine runs them, the popcount kernel and the sliced kernel in turn: ResNet-18's 3x3 layers with a threshold and with
// floats stored, in warm and in cold caches (weights and maps evicted from L2 before each run). Features are included. One thread.
//
//   bitwright_bench --benchmark_filter=layer
//
// GMAC/s of both are from medians, `ratio` is the median of the runs' ratios (above 1: the sliced kernel is faster).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "prepare.h"

using namespace bitwright;

namespace {

struct Layer {
  uint32_t size, channels, outputs, kernel, stride;
  std::string name() const {
    return std::to_string(kernel) + "x" + std::to_string(kernel) + "_" + std::to_string(size) + "x" + std::to_string(size) + "_" +
           std::to_string(channels) + "_" + std::to_string(outputs) + (stride > 1 ? "_s" + std::to_string(stride) : "");
  }
};

struct Weights : Storage {
  std::vector<uint32_t> bits;
  std::vector<int32_t> limit;
};

uint32_t add_value(Model& m, DType dtype, uint32_t size, uint32_t channels) {
  ValueInfo v;
  v.dtype = dtype;
  v.dims = {1, size, size, channels};
  v.bytes = value_bytes(v, m.limits.arena_bytes, "value");
  v.offset = m.arena_bytes;
  m.arena_bytes += v.bytes;
  m.values.push_back(v);
  return static_cast<uint32_t>(m.values.size() - 1);
}

std::shared_ptr<const Model> model_of(const Layer& l, bool threshold) {
  std::mt19937 random(1);
  auto m = std::make_shared<Model>();
  auto w = std::make_shared<Weights>();
  OpInfo op;
  op.opcode = Opcode::kBconv;
  op.in = add_value(*m, DType::kBits, l.size, l.channels);
  const uint32_t out = (l.size + 2 * (l.kernel / 2) - l.kernel) / l.stride + 1;
  const uint32_t to = add_value(*m, threshold ? DType::kBits : DType::kF32, out, l.outputs);
  w->bits.resize(size_t{l.outputs} * l.kernel * l.kernel * m->values[op.in].words());
  for (uint32_t& word : w->bits) word = random();
  w->limit.assign(l.outputs, 0);
  m->constants.push_back({ConstType::kU32, w->bits.size(), w->bits.data()});
  m->constants.push_back({ConstType::kI32, w->limit.size(), w->limit.data()});
  op.weight = 0;
  op.out_channels = l.outputs;
  op.out = {1, out, out};
  for (int k = 1; k < 3; ++k) {
    op.geometry.kernel[k] = l.kernel;
    op.geometry.stride[k] = l.stride;
    op.geometry.pad_begin[k] = op.geometry.pad_end[k] = l.kernel / 2;
  }
  op.steps.push_back({threshold ? StepKind::kThreshold : StepKind::kStore, to, threshold ? 1 : kNone, kNone, 0, 0, 0});
  m->ops.push_back(op);
  m->storage = w;
  return m;
}

// One prepared layer and its memory.
struct Prepared {
  std::shared_ptr<const PreparedModel> prepared;
  AlignedBuffer memory, scratch, shared;
  std::vector<View> views;
  std::vector<Step> steps;
  Prepared(const std::shared_ptr<const Model>& model, const Kernels& kernels)
      : prepared(prepare(model, kernels)), memory(model->arena_bytes, true), scratch(prepared->scratch_bytes), shared(prepared->shared_bytes),
        steps(prepared->max_steps) {
    std::mt19937 random(2);
    for (const ValueInfo& v : model->values) views.push_back({memory.as<uint8_t>() + v.offset, v.bytes / 4});
    for (size_t i = 0; i < model->values[0].bytes / 4; ++i) static_cast<uint32_t*>(views[0].data)[i] = random();
  }
  void run(Pool& pool) { run_op({prepared.get(), views.data(), 1, &pool, scratch.as<uint8_t>(), steps.data(), shared.as<uint8_t>()}, 0); }
};

void evict() {
  static std::vector<uint8_t> big(3 << 20);
  for (size_t i = 0; i < big.size(); i += 64) ++big[i];
  benchmark::ClobberMemory();
}

double seconds(Prepared& p, Pool& pool, bool cold) {
  if (cold) evict();
  const auto start = std::chrono::steady_clock::now();
  p.run(pool);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double middle(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

void bench_layer(benchmark::State& state, Layer l, bool threshold, bool cold) {
  const std::shared_ptr<const Model> model = model_of(l, threshold);
  Kernels kernels;
  kernels.floats = find_float_kernel(nullptr);
  kernels.epilogue = find_epilogue_kernel(nullptr);
  kernels.binary = find_binary_kernel(nullptr);
  Prepared popcount(model, kernels);
  kernels.sliced = find_sliced_kernel(nullptr);
  kernels.sliced_forced = true;
  Prepared sliced(model, kernels);
  Pool pool(1);
  for (int i = 0; i < 3; ++i) popcount.run(pool), sliced.run(pool);
  std::vector<double> a, b, ratio;
  for (auto _ : state) {
    a.push_back(seconds(popcount, pool, cold));
    b.push_back(seconds(sliced, pool, cold));
    ratio.push_back(a.back() / b.back());
  }
  const uint32_t out = model->ops[0].out[1];
  const double macs = double(out) * out * l.outputs * l.kernel * l.kernel * l.channels * 1e-9;
  state.counters["popcount GMAC/s"] = macs / middle(a);
  state.counters["sliced GMAC/s"] = macs / middle(b);
  state.counters["ratio"] = middle(ratio);
}

const Layer layers[] = {
    {56, 64, 64, 3, 1},   {56, 64, 128, 3, 2},  {28, 128, 128, 3, 1}, {28, 128, 256, 3, 2}, {14, 256, 256, 3, 1},
    {14, 256, 512, 3, 2}, {7, 512, 512, 3, 1},  {28, 128, 128, 1, 1}, {14, 512, 512, 1, 1},
};

const int registered = [] {
  if (!find_sliced_kernel(nullptr)) return 0;
  for (const Layer& l : layers)
    for (const bool threshold : {true, false})
      for (const bool cold : {false, true})
        benchmark::RegisterBenchmark(("layer/" + l.name() + (threshold ? "/threshold" : "/floats") + (cold ? "/cold" : "/warm")).c_str(), bench_layer, l,
                                     threshold, cold)
            ->Unit(benchmark::kMicrosecond);
  return 1;
}();

}  // namespace
