// Matrix products of packed rows by ProductMatrix, one thread, int32 out: all there is at run time (features, counting, the ends, the output), B laid
// out before. `share`: of the popcount roofline (xor, VPOPCNTD, add of 512 bits on registers), which is timed around each measurement; products by
// bit-sliced counting may pass 1.
//
//   bitwright_bench --benchmark_filter='^gemm'
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "cpu.h"
#include "product.h"
#include "roofline.h"

using namespace bitwright;

namespace {

struct Shape {
  uint32_t m, n, k;
  std::string name() const { return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k); }
};
const Shape shapes[] = {{144, 192, 512}, {144, 192, 4096}, {512, 512, 512}, {784, 128, 1152}, {512, 512, 1024}, {512, 512, 2304}, {1024, 1024, 4096}};

// GMAC/s on registers.
double roofline(const RooflineLoop& loop, void* buffer, size_t bytes) {
  constexpr uint64_t kIterations = 20000;
  const auto start = std::chrono::steady_clock::now();
  loop.run(kIterations, buffer, bytes);
  return loop.work * kIterations * 1e-9 / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void bench_gemm(benchmark::State& state, const std::string& kernel, Shape s) {
  std::mt19937 random(1);
  const size_t words = (s.k + 31) / 32;
  std::vector<uint32_t> a(s.m * words), b(s.n * words);
  for (uint32_t& w : a) w = random();
  for (uint32_t& w : b) w = random();
  Pool pool(1);
  const ProductMatrix matrix(b.data(), 1, s.n, words, select_kernels(kernel), pool);
  std::vector<int32_t> out(size_t{s.m} * s.n);
  const RooflineLoop& loop = roofline_loop(RooflineFamily::kBinary, kernel == "bconv_gfni" || kernel.empty() ? "avx512vpopcnt" : kernel.c_str());
  alignas(64) unsigned char buffer[4096] = {};
  roofline(loop, buffer, sizeof buffer);
  double roof = roofline(loop, buffer, sizeof buffer), seconds = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    matrix.multiply(a.data(), s.m, Product::kHamming, s.k, {out.data(), true}, pool);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    benchmark::DoNotOptimize(out.data());
  }
  roof = (roof + roofline(loop, buffer, sizeof buffer)) / 2;
  const double work = 1e-9 * s.m * s.n * s.k * static_cast<double>(state.iterations());
  state.counters["GMAC/s"] = benchmark::Counter(work, benchmark::Counter::kIsRate);
  state.counters["share"] = work / seconds / roof;
}

const bool registered = [] {
  for (const char* isa : {"avx2", "avx512vpopcnt", "gfni", "neon", "neondot"}) {
    if (!isa_supported(isa)) continue;
    const std::string sliced = std::string(isa) == "gfni" ? "bconv_gfni" : isa;
    for (const Shape& s : shapes)
      benchmark::RegisterBenchmark(("gemm/" + std::string(isa == sliced ? select_kernels(isa).binary->name : sliced) + "/" + s.name()).c_str(), bench_gemm, sliced, s)
          ->Unit(benchmark::kMicrosecond);
  }
  for (const Shape& s : shapes) benchmark::RegisterBenchmark(("gemm/default/" + s.name()).c_str(), bench_gemm, std::string(), s)->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
