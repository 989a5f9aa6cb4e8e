// int8 and depthwise convolution at the shapes around binary networks, as the executor calls the kernels: chunks of pixels, panel by panel; lines of the
// kernel as taps where a stem has few channels. One thread. `share`: of the machine's vpdpbusd rate (zmm registers only, measured once in this run;
// absent without AVX-512 VNNI).
//
//   bitwright_bench --benchmark_filter='qconv|depthwise'
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "gather.h"
#include "kernel.h"
#include "storage.h"
#include "table.h"

using namespace bitwright;

namespace {

struct Layer {
  const char* name;
  uint32_t size, channels, outputs, kernel, stride;  // padding kernel / 2
  bool depthwise;
};

const Layer layers[] = {
    {"stem_7x7_224x224_3_64_s2", 224, 3, 64, 7, 2, false}, {"stem_3x3_32x32_3_64", 32, 3, 64, 3, 1, false},
    {"stem_3x3_28x28_1_32", 28, 1, 32, 3, 1, false},       {"1x1_56x56_64_64", 56, 64, 64, 1, 1, false},
    {"1x1_28x28_64_128", 28, 64, 128, 1, 1, false},        {"1x1_14x14_256_512", 14, 256, 512, 1, 1, false},
    {"3x3_56x56_64_64", 56, 64, 64, 3, 1, false},          {"3x3_14x14_256_256", 14, 256, 256, 3, 1, false},
    {"dense_512_1000", 1, 512, 1000, 1, 1, false},         {"dense_4096_1000", 1, 4096, 1000, 1, 1, false},
    {"depthwise_3x3_56x56_128", 56, 128, 128, 3, 1, true}, {"depthwise_3x3_14x14_512", 14, 512, 512, 3, 1, true},
};

// Multiply-accumulates a second of vpdpbusd alone.
double measure_peak() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (!isa_supported("avx512vnni")) return 0;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    constexpr int64_t kLoops = 1000000;
    int64_t n = kLoops;
    const auto start = std::chrono::steady_clock::now();
    __asm__ volatile(
        "1:\n\t"
        "vpdpbusd %%zmm14, %%zmm15, %%zmm0\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm1\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm2\n\t"
        "vpdpbusd %%zmm14, %%zmm15, %%zmm3\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm4\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm5\n\t"
        "vpdpbusd %%zmm14, %%zmm15, %%zmm6\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm7\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm8\n\t"
        "vpdpbusd %%zmm14, %%zmm15, %%zmm9\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm10\n\tvpdpbusd %%zmm14, %%zmm15, %%zmm11\n\t"
        "dec %0\n\tjnz 1b"
        : "+r"(n)
        :
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, kLoops * 12 * 64 / time.count());
  }
  return best;
#else
  return 0;
#endif
}

void report(benchmark::State& state, double macs) {
  static const double peak = measure_peak();
  const double done = macs * static_cast<double>(state.iterations());
  state.counters["GMAC/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
  if (peak > 0) state.counters["share"] = benchmark::Counter(done / peak, benchmark::Counter::kIsRate);
}

struct Problem {
  uint32_t out, taps;
  std::shared_ptr<const Table> table;
  explicit Problem(const Layer& l, int32_t padding) : out((l.size + l.stride - 1) / l.stride), taps(l.kernel * l.kernel) {
    Geometry g;
    for (int k : {1, 2}) {
      g.kernel[k] = l.kernel;
      g.stride[k] = l.stride;
      g.pad_begin[k] = g.pad_end[k] = l.kernel / 2;
    }
    table = make_table(g, {1, l.size, l.size}, {1, out, out}, l.channels, padding);
  }
  double macs(const Layer& l) const { return static_cast<double>(out) * out * l.outputs * taps * (l.depthwise ? 1 : l.channels); }
};

void bench_int8(benchmark::State& state, const Int8Kernel* k, Layer l) {
  constexpr uint32_t kMost = 128;
  std::mt19937 random(1);
  const auto map = static_cast<int32_t>(l.size * l.size * l.channels);
  const Problem problem(l, map);
  const Table& table = *problem.table;
  const bool gathers = l.channels < 16 && l.channels % 4 != 0;
  const std::shared_ptr<const Gather> gather = gathers ? make_gather(table, l.channels, l.kernel, map) : nullptr;
  const uint32_t taps = gathers ? l.kernel : problem.taps, depth = gathers ? l.kernel * l.channels : l.channels;
  const uint32_t panels = (l.outputs + k->panel - 1) / k->panel, chunk = kMost / k->mr * k->mr;
  const AlignedBuffer input(static_cast<size_t>(map) + l.channels + 64, true);
  for (int32_t i = 0; i < map; ++i) input.as<uint8_t>()[i] = static_cast<uint8_t>(random());
  std::vector<int8_t> weights(static_cast<size_t>(l.outputs) * problem.taps * (l.depthwise ? 1 : l.channels));
  for (int8_t& w : weights) w = static_cast<int8_t>(random());
  const size_t bytes = l.depthwise ? (static_cast<size_t>(taps) * k->panel + 63) / 64 * 64 : k->panel_bytes(taps, depth);
  const AlignedBuffer packed(bytes * panels, true), rows(gathers ? gather->row * kMost + 64 : 64), out(static_cast<size_t>(k->mr) * k->panel * 4);
  if (!l.depthwise) k->pack(packed.data(), weights.data(), l.outputs, taps, depth);
  for (auto _ : state)
    for (uint32_t first = 0; first < table.pixels; first += chunk) {
      const uint32_t pixels = std::min(chunk, table.pixels - first);
      const uint8_t* base[kMost];
      const int32_t* offset[kMost];
      GatherWindow windows[kMost];
      uint32_t copied = 0;
      for (uint32_t i = 0; i < pixels; ++i) {
        base[i] = input.as<uint8_t>();
        offset[i] = table.row(first + i);
        if (!gathers) continue;
        const uint32_t pattern = gather->pattern[first + i], run = gather->first[pattern];
        base[i] += gather->origin[first + i];
        offset[i] = gather->offsets.data() + static_cast<size_t>(pattern) * gather->lines;
        if (gather->whole[pattern]) continue;
        windows[copied] = {base[i], input.as<uint8_t>(), gather->runs.data() + run, gather->first[pattern + 1] - run};
        base[i] = rows.as<uint8_t>() + copied++ * gather->row;
        offset[i] = gather->packed.data();
      }
      if (gathers) k->gather(rows.as<uint8_t>(), gather->row, windows, copied);
      for (uint32_t panel = 0; panel < panels; ++panel) {
        if (l.depthwise)
          for (uint32_t i = 0; i < pixels; ++i) base[i] = input.as<uint8_t>() + static_cast<size_t>(panel) * k->panel;
        for (uint32_t i = 0; i < pixels; i += k->mr) {
          const uint32_t channels = l.depthwise ? std::min(k->panel, l.channels - panel * k->panel) : depth;
          const Int8Tile tile{base + i, offset + i, std::min(k->mr, pixels - i), taps, channels, packed.as<uint8_t>() + panel * bytes};
          (l.depthwise ? k->depthwise : k->run)(out.as<int32_t>(), tile);
          benchmark::DoNotOptimize(out.data());
        }
      }
    }
  report(state, problem.macs(l));
}

void bench_float_depthwise(benchmark::State& state, const FloatKernel* k, Layer l) {
  const Problem problem(l, -1);
  const Table& table = *problem.table;
  const uint32_t panels = (l.channels + k->panel - 1) / k->panel;
  const size_t floats = static_cast<size_t>(problem.taps) * k->panel;
  const AlignedBuffer input(static_cast<size_t>(l.size) * l.size * l.channels * 4, true), packed(floats * panels * 4, true),
      out(static_cast<size_t>(k->mr) * k->panel * 4);
  std::vector<const float*> base(k->mr);
  std::vector<const int32_t*> offset(table.pixels);
  for (uint32_t p = 0; p < table.pixels; ++p) offset[p] = table.row(p);
  for (auto _ : state)
    for (uint32_t panel = 0; panel < panels; ++panel) {
      std::fill(base.begin(), base.end(), input.as<float>() + static_cast<size_t>(panel) * k->panel);
      for (uint32_t p = 0; p < table.pixels; p += k->mr) {
        const uint32_t channels = std::min(k->panel, l.channels - panel * k->panel);
        k->depthwise(out.as<float>(), {base.data(), offset.data() + p, std::min(k->mr, table.pixels - p), problem.taps, channels, packed.as<float>() + panel * floats});
        benchmark::DoNotOptimize(out.data());
      }
    }
  state.counters["GMAC/s"] = benchmark::Counter(problem.macs(l) * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

const bool registered = [] {
  for (const Layer& l : layers) {
    for (const Int8Kernel* const* k = int8_kernels(); *k != nullptr; ++k)
      if ((*k)->supported())
        benchmark::RegisterBenchmark((std::string((*k)->name) + "/" + l.name).c_str(), bench_int8, *k, l)->Unit(benchmark::kMicrosecond);
    for (const FloatKernel* const* k = float_kernels(); *k != nullptr && l.depthwise; ++k)
      if ((*k)->supported() && (*k)->depthwise != nullptr)
        benchmark::RegisterBenchmark((std::string((*k)->name) + "/" + l.name).c_str(), bench_float_depthwise, *k, l)->Unit(benchmark::kMicrosecond);
  }
  return true;
}();

}  // namespace
