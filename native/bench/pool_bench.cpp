// The thread pool. fork_join: every thread takes one item and waits until all have, so the time is what it takes to get all threads into a job and out
// again. empty: items that do nothing, most of which the caller finds done or does itself.
//
//   bitwright_bench --benchmark_filter=pool
#include "pool_bench.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "pool.h"

using namespace bitwright;

namespace {

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// Median and 99th percentile over single jobs; the clock's own cost (some 20 ns) is in them.
template <class Job>
void measure(benchmark::State& state, const Job& job) {
  std::vector<uint64_t> times;
  for (auto _ : state) {
    const uint64_t start = now_ns();
    job();
    times.push_back(now_ns() - start);
  }
  std::sort(times.begin(), times.end());
  state.counters["median_ns"] = static_cast<double>(times[times.size() / 2]);
  state.counters["p99_ns"] = static_cast<double>(times[times.size() * 99 / 100]);
}

void fork_join(benchmark::State& state) {
  const auto threads = static_cast<unsigned>(state.range(0));
  Pool pool(threads);
  const Pool::Busy busy(pool);
  std::atomic<unsigned> arrived{0};
  unsigned target = 0;
  measure(state, [&] {
    target += threads;
    pool.run(threads, [&](size_t, unsigned) {
      arrived.fetch_add(1);
      while (arrived.load() < target) {
      }
    });
  });
}

void empty(benchmark::State& state) {
  Pool pool(static_cast<unsigned>(state.range(0)));
  const Pool::Busy busy(pool);
  measure(state, [&] { pool.run(static_cast<size_t>(state.range(0)), [](size_t, unsigned) {}); });
}

// A job after a pause that lets the workers fall asleep: what the first op of a run pays.
void after_sleep(benchmark::State& state) {
  Pool pool(static_cast<unsigned>(state.range(0)));
  std::vector<uint64_t> times;
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const uint64_t start = now_ns();
    pool.run(static_cast<size_t>(state.range(0)), [](size_t, unsigned) {});
    times.push_back(now_ns() - start);
  }
  std::sort(times.begin(), times.end());
  state.counters["median_ns"] = static_cast<double>(times[times.size() / 2]);
}

}  // namespace

void register_pool_benchmarks() {
  benchmark::RegisterBenchmark("pool/fork_join", fork_join)->Arg(2)->MinTime(0.3);
  benchmark::RegisterBenchmark("pool/empty", empty)->Arg(2)->MinTime(0.3);
  benchmark::RegisterBenchmark("pool/after_sleep", after_sleep)->Arg(2)->Iterations(300);
}
