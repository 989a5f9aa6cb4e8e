// The loops that measure the machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "machine.h"

namespace bitwright {
namespace {

std::vector<const RooflineLoop*> all_loops() {
  std::vector<const RooflineLoop*> loops;
  for (const RooflineLoop* const* file = roofline_files; *file; ++file)
    for (const RooflineLoop* loop = *file; loop->name; ++loop)
      if (loop->supported()) loops.push_back(loop);
  return loops;
}

TEST(Machine, EveryLoopOfThisCpuRunsInsideItsBuffer) {
  alignas(64) static uint8_t buffer[1536];
  for (const RooflineLoop* loop : all_loops()) {
    std::memset(buffer, 7, sizeof buffer);
    loop->run(3, buffer, 1024);
    for (size_t i = 1024; i < sizeof buffer; ++i) ASSERT_EQ(buffer[i], 7) << loop->name << " writes behind its buffer";
    EXPECT_GT(loop->work, 0) << loop->name;
    EXPECT_EQ(std::string(loop->name).substr(std::string(loop->name).find('_') + 1), loop->isa);
  }
}

TEST(Machine, LoopsAreFoundByInstructionSet) {
  for (const RooflineLoop* loop : all_loops()) EXPECT_EQ(&roofline_loop(loop->family, loop->isa), loop);
  for (int family = 0; family < 5; ++family) {
    const RooflineLoop& best = roofline_loop(static_cast<RooflineFamily>(family));
    EXPECT_EQ(static_cast<int>(best.family), family);
    EXPECT_EQ(&roofline_loop(static_cast<RooflineFamily>(family), "none such"), &best);
  }
}

// A loop that the compiler cut away would be faster than any machine: at most a thousand 512-bit operations of 512 MACs a nanosecond.
TEST(Machine, RatesArePlausible) {
  for (unsigned threads : {1u, 2u}) {
    Pool pool(threads);
    const auto loops = all_loops();
    const auto rates = measure_machine(pool, 1 << 16, loops);
    ASSERT_EQ(rates.size(), loops.size());
    for (size_t k = 0; k < rates.size(); ++k) {
      EXPECT_EQ(rates[k].loop, loops[k]);
      EXPECT_GT(rates[k].per_ns, 0.001) << loops[k]->name;
      EXPECT_LT(rates[k].per_ns, 2e4 * threads) << loops[k]->name;
    }
  }
}

TEST(Machine, TenTimesTheWorkTakesLonger) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "times mean nothing here";
#endif
  alignas(64) static uint8_t buffer[4096];
  const auto seconds = [&](const RooflineLoop* loop, uint64_t iterations) {
    double best = 1e9;
    for (int i = 0; i < 9; ++i) {
      const auto start = std::chrono::steady_clock::now();
      loop->run(iterations, buffer, sizeof buffer);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  for (const RooflineLoop* loop : all_loops()) EXPECT_GT(seconds(loop, 40000) / seconds(loop, 4000), 3) << loop->name;
}

TEST(Machine, Clock) {
  const double ghz = measure_clock();
#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
  EXPECT_GT(ghz, 0.01);
#endif
  EXPECT_LT(ghz, 20);
}

}  // namespace
}  // namespace bitwright
