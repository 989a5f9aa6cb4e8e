// Work splitting: everything once, items fit a chunk, and nobody waits long at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "split.h"

namespace bitwright {
namespace {

// The slowest thread's share of the work if each takes the next item when it is free and a tile costs the same everywhere, times the threads.
double imbalance(const Split& s, size_t pixels, uint32_t units, uint32_t mr, unsigned threads) {
  std::vector<double> load(threads);
  double total = 0;
  for (size_t i = 0; i < s.items(); ++i) {
    const size_t first = i / s.slices * s.chunk, slice = i % s.slices;
    const size_t width = (slice + 1) * units / s.slices - slice * units / s.slices;
    const double work = static_cast<double>((std::min<size_t>(s.chunk, pixels - first) + mr - 1) / mr * width);
    *std::min_element(load.begin(), load.end()) += work;
    total += work;
  }
  return *std::max_element(load.begin(), load.end()) * threads / total;
}

TEST(Split, CoversEveryPixelOnce) {
  for (size_t pixels : {size_t{1}, size_t{6}, size_t{7}, size_t{49}, size_t{127}, size_t{128}, size_t{129}, size_t{3136}, size_t{1000003}})
    for (uint32_t units : {1u, 2u, 7u, 16u})
      for (uint32_t mr : {1u, 4u, 7u, 64u})
        for (uint64_t cycles : {uint64_t{1}, uint64_t{100'000}, uint64_t{1} << 40})
          for (unsigned threads : {1u, 2u, 3u, 64u}) {
            const Split s = split_work(pixels, units, mr, cycles, threads);
            ASSERT_GT(s.chunk, 0u);
            ASSERT_LE(s.chunk, kChunk);
            ASSERT_EQ(s.chunk % mr, 0u);
            ASSERT_EQ(s.chunks, (pixels + s.chunk - 1) / s.chunk);
            ASSERT_GE(s.slices, 1u);
            ASSERT_LE(s.slices, units);
            if (threads == 1) {
              ASSERT_EQ(s.slices, 1u);
            }
          }
}

TEST(Split, BinaryLayersOfResNet18BalanceOnTwoThreads) {
  // pixels, units of 64 outputs
  const size_t layers[][2] = {{3136, 1}, {784, 2}, {196, 4}, {49, 8}, {3136, 2}, {784, 4}, {196, 8}};
  for (const auto& [pixels, units] : layers)
    for (uint32_t mr : {4u, 7u, 8u}) {
      const Split s = split_work(pixels, static_cast<uint32_t>(units), mr, 400'000, 2);
      EXPECT_GE(s.items(), 8u);
      EXPECT_LE(imbalance(s, pixels, static_cast<uint32_t>(units), mr, 2), 1.02) << pixels << " pixels, " << units << " units, mr " << mr;
    }
}

TEST(Split, ManyThreadsBalanceToo) {
  for (unsigned threads : {3u, 4u, 8u, 16u})
    for (const auto& [pixels, units] : {std::pair<size_t, uint32_t>{3136, 1}, {784, 2}, {196, 4}, {49, 8}})
      EXPECT_LE(imbalance(split_work(pixels, units, 7, 4'000'000, threads), pixels, units, 7, threads), 1.5)
          << threads << " threads, " << pixels << " pixels, " << units << " units";
}

TEST(Split, SmallWorkIsNotCutIntoCrumbs) { EXPECT_LE(split_work(49, 8, 7, 5000, 16).items(), 4u); }

}  // namespace
}  // namespace bitwright
