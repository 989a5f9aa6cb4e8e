// Packing against the bandwidth of reading, measured in the same run: arrays that fit L1, L2, L3 and none of them. `read` sums the same bytes with the
// widest loads. One thread.
//
//   bitwright_bench --benchmark_filter='pack|read'
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "kernel.h"
#include "read_bandwidth.h"

using namespace bitwright;

namespace {

struct Level {
  const char* name;
  size_t bytes;
};
const Level levels[] = {{"L1_16K", size_t{16} << 10}, {"L2_384K", size_t{384} << 10}, {"L3_6M", size_t{6} << 20}, {"DRAM_192M", size_t{192} << 20}};

void rate(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * static_cast<int64_t>(state.iterations()));
}

void bench_read(benchmark::State& state, size_t bytes) {
  const std::vector<uint64_t> x(bytes / 8 + 8, 1);
  for (auto _ : state) benchmark::DoNotOptimize(read_all(x.data(), bytes));
  rate(state, bytes);
}

void bench_pack(benchmark::State& state, void (*pack)(const PackRows&), size_t element, size_t bytes, size_t channels, bool per_channel) {
  const std::vector<uint64_t> x(bytes / 8 + 8, 0x3f0000003f800000u), threshold(channels, 0x3f4000003f400000u);
  std::vector<uint32_t> bits(bytes / element / 32 + 64);
  const size_t rows = channels ? bytes / element / channels : 1, count = channels ? channels : bytes / element;
  const PackRows job{bits.data(), (count + 31) / 32, x.data(), static_cast<ptrdiff_t>(count * element), per_channel ? threshold.data() : x.data(), per_channel, rows, count};
  for (auto _ : state) {
    pack(job);
    benchmark::ClobberMemory();
  }
  rate(state, bytes);
}

const bool registered = [] {
  for (const Level& l : levels) {
    benchmark::RegisterBenchmark((std::string("read/") + l.name).c_str(), bench_read, l.bytes);
    for (const PackKernel* const* k = pack_kernels(); *k != nullptr; ++k) {
      if (!(*k)->supported()) continue;
      const struct {
        const char* name;
        void (*pack)(const PackRows&);
        size_t element;
      } types[] = {{"f32", (*k)->f32, 4}, {"i16", (*k)->i16, 2}, {"i8", (*k)->i8, 1}, {"u8", (*k)->u8, 1}};
      for (const auto& t : types) {
        const std::string name = std::string((*k)->name) + "/" + t.name + "/" + l.name;
        benchmark::RegisterBenchmark((name + "/one").c_str(), bench_pack, t.pack, t.element, l.bytes, size_t{0}, false);
        benchmark::RegisterBenchmark((name + "/channels_256").c_str(), bench_pack, t.pack, t.element, l.bytes, size_t{256}, true);
      }
    }
  }
  return true;
}();

}  // namespace
