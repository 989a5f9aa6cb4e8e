// Whole binary layers as the engine runs them, the popcount kernel and the sliced kernel in turn: ResNet-18's 3x3 layers with a threshold and with
// floats stored, in warm and in cold caches (weights and maps evicted from L2 before each run). Features are included. One thread.
//
//   bitwright_bench --benchmark_filter=layer
//
// GMAC/s of both are from medians, `ratio` is the median of the runs' ratios (above 1: the sliced kernel is faster).
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "layer_model.h"
#include "prepare.h"

using namespace bitwright;
using layers_bench::Layer;
using layers_bench::median;
using layers_bench::model_of;

namespace {

// One prepared layer and its memory.
struct Prepared {
  std::shared_ptr<const PreparedModel> prepared;
  AlignedBuffer memory, scratch, shared;
  std::vector<View> views;
  std::vector<Step> steps;
  Prepared(const std::shared_ptr<const Model>& model, const Kernels& kernels)
      : prepared(prepare(model, kernels)), memory(model->arena_bytes, true), scratch(prepared->scratch_bytes), shared(prepared->shared_bytes),
        steps(prepared->step_count) {
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
  const double macs = double(l.out()) * l.out() * l.outputs * l.kernel * l.kernel * l.channels * 1e-9;
  state.counters["popcount GMAC/s"] = macs / median(a);
  state.counters["sliced GMAC/s"] = macs / median(b);
  state.counters["ratio"] = median(ratio);
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
