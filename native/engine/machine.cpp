#include "machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "storage.h"

namespace bitwright {
namespace {

constexpr int kRepeats = 7;
constexpr double kSampleNs = 100'000;  // of a timed loop
constexpr uint64_t kMostBytes = uint64_t{256} << 20;

double now_ns() {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// 16 dependent additions.
uint64_t chain(uint64_t rounds) {
  uint64_t x = rounds;
#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
  for (uint64_t i = 0; i < rounds; ++i) {
#if defined(__x86_64__)
#define ADD "add %0, %0\n\t"  // not of a constant: some CPUs add constants while they rename registers
#else
#define ADD "add %0, %0, %0\n\t"
#endif
    asm volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD : "+r"(x) : : "cc");
#undef ADD
  }
#endif
  return x;
}

// Nanoseconds of `body` in all threads at once: from the moment when all are there until the last is done.
template <class Body>
double time_in_all(Pool& pool, const Body& body) {
  const unsigned threads = pool.threads();
  std::atomic<unsigned> arrived{0};
  std::vector<double> begin(threads), end(threads);
  pool.run(threads, [&](size_t item, unsigned) {
    ++arrived;
    const double patience = now_ns() + 2e6;  // workers may be refused where other sessions run
    while (arrived < threads && now_ns() < patience) {
    }
    begin[item] = now_ns();
    body(item);
    end[item] = now_ns();
  });
  return *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
}

}  // namespace

double measure_clock() {
#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
  constexpr uint64_t kRounds = 4000;
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = now_ns();
    chain(kRounds);
    best = std::max(best, kRounds * 16 / (now_ns() - start));
  }
  return best;
#else
  return 0;
#endif
}

std::vector<MachineRate> measure_machine(Pool& pool, uint64_t bytes, const std::vector<const RooflineLoop*>& loops) {
  const unsigned threads = pool.threads();
  const size_t part = (std::clamp<uint64_t>(bytes, 16384, kMostBytes) / threads + 511) / 512 * 512;
  std::vector<AlignedBuffer> buffers;
  for (unsigned i = 0; i < threads; ++i) {
    buffers.emplace_back(part);
    std::memset(buffers.back().data(), 1, part);
  }
  const Pool::Busy busy(pool);
  std::vector<MachineRate> rates;
  for (const RooflineLoop* at : loops) {
    const RooflineLoop& loop = *at;
    const bool memory = loop.family == RooflineFamily::kRead || loop.family == RooflineFamily::kWrite;
    const double work = memory ? static_cast<double>(part) : loop.work;
    uint64_t iterations = memory ? 1 : 64;
    const auto time = [&] { return time_in_all(pool, [&](size_t item) { loop.run(iterations, buffers[item].data(), part); }); };
    // Until a sample is long enough, which warms up too.
    for (double ns = time(); ns < kSampleNs && iterations < (uint64_t{1} << 40); ns = time())
      iterations = static_cast<uint64_t>(static_cast<double>(iterations) * std::clamp(1.2 * kSampleNs / std::max(ns, 1.0), 1.5, 16.0)) + 1;
    double best = 0;
    for (int i = 0; i < kRepeats; ++i) best = std::max(best, threads * work * static_cast<double>(iterations) / time());
    rates.push_back({&loop, best});
  }
  return rates;
}

}  // namespace bitwright
