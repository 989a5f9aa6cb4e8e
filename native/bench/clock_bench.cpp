// The core's clock in this run, by a chain of dependent additions of one cycle each: rates divided by it are per cycle.
//
//   bitwright_bench --benchmark_filter='^clock'
#include <benchmark/benchmark.h>

#include <cstdint>

namespace {

void bench_clock(benchmark::State& state) {
  constexpr int kSteps = 1000, kUnrolled = 16;
  uint64_t x = 0;
  for (auto _ : state)
    for (int i = 0; i < kSteps; ++i) {
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC unroll 16
      for (int k = 0; k < kUnrolled; ++k) {
        x += 3;
        __asm__ volatile("" : "+r"(x));  // so that the additions stay apart
      }
#else
      for (int k = 0; k < kUnrolled; ++k) benchmark::DoNotOptimize(x += 3);
#endif
    }
  benchmark::DoNotOptimize(x);
  state.counters["GHz"] = benchmark::Counter(1e-9 * kSteps * kUnrolled * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

BENCHMARK(bench_clock)->Name("clock");

}  // namespace
