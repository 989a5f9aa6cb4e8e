// What memory allows: binary dense layers of one sample read every weight once, so their limit is the read bandwidth of the level that the weights lie
// in. Both are measured here over the same bytes, by one and by two threads, and packing them from the file's layout.
//
//   bitwright_bench --benchmark_filter='^(dense|pack_weights)'
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernel.h"
#include "read_bandwidth.h"

using namespace bitwright;

namespace {

constexpr uint32_t kWords = 128;  // of an input of 4096 channels

struct Level {
  const char* name;
  uint32_t outputs;
};
const Level levels[] = {{"512K", 1024}, {"8M", 16384}, {"128M", 262144}};

struct Free {
  void operator()(void* p) const { ::operator delete(p, std::align_val_t{4096}); }
};
using Bytes = std::unique_ptr<unsigned char, Free>;

Bytes bytes_of(size_t n) {
  Bytes b(static_cast<unsigned char*>(::operator new(n, std::align_val_t{4096})));
  std::memset(b.get(), 0x5a, n);
  return b;
}

void report(benchmark::State& state, size_t bytes) {
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(bytes) * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Each thread its share, in its own memory: where the pool's threads would read.
void bench_read(benchmark::State& state, Level l) {
  const size_t n = size_t{l.outputs} * kWords * 4 / static_cast<size_t>(state.threads());
  const Bytes b = bytes_of(n);
  for (auto _ : state) benchmark::DoNotOptimize(read_all(b.get(), n));
  report(state, n);
}

void bench_dense(benchmark::State& state, const BinaryKernel* k, Level l) {
  const uint32_t outputs = l.outputs / static_cast<uint32_t>(state.threads());
  const size_t panel = k->panel_bytes(1, kWords), panels = (outputs + k->panel - 1) / k->panel, n = panel * panels;
  const Bytes b = bytes_of(n);
  const std::vector<uint32_t> input(kWords, 0x12345678u);
  const uint32_t* base = input.data();
  const int32_t zero = 0;
  const int32_t* offset = &zero;
  std::vector<uint16_t> counts(panels * k->panel);
  for (auto _ : state) {
    for (size_t i = 0; i < panels; ++i) k->count16(counts.data() + i * k->panel, {&base, &offset, 1, 1, kWords, b.get() + i * panel});
    benchmark::DoNotOptimize(counts.data());
  }
  report(state, n);
}

void bench_pack(benchmark::State& state, const BinaryKernel* k) {  // 4 MB of 3x3 weights: 1024 outputs, 9 taps, 114 words
  const uint32_t outputs = 1024, taps = 9, words = 114;
  const Bytes from = bytes_of(size_t{outputs} * taps * words * 4);
  const Bytes to = bytes_of(k->panel_bytes(taps, words) * ((outputs + k->panel - 1) / k->panel));
  for (auto _ : state) k->pack(to.get(), reinterpret_cast<const uint32_t*>(from.get()), outputs, taps, words);
  report(state, size_t{outputs} * taps * words * 4);
}

const bool registered = [] {
  for (const Level& l : levels)
    for (int threads : {1, 2}) benchmark::RegisterBenchmark((std::string("dense_read/") + l.name).c_str(), bench_read, l)->Threads(threads)->UseRealTime();
  for (const BinaryKernel* const* k = binary_kernels(); *k != nullptr; ++k) {
    if (!(*k)->supported()) continue;
    const std::string name = (*k)->name;
    for (const Level& l : levels)
      for (int threads : {1, 2})
        benchmark::RegisterBenchmark(("dense/" + name + "/" + l.name).c_str(), bench_dense, *k, l)->Threads(threads)->UseRealTime();
    benchmark::RegisterBenchmark(("pack_weights/" + name).c_str(), bench_pack, *k)->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
