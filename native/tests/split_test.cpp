// Work splitting: everything once, items fit a chunk, nobody waits long at the end, and two threads write to different pixels.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "sliced_split.h"
#include "split.h"

namespace bitwright {
namespace {

// The time of all work over the time that threads of these speeds need at least, if each takes the next item when it is free and a tile costs the same
// everywhere.
double imbalance(const Split& s, uint32_t mr, const std::vector<double>& speed) {
  std::vector<double> free_at(speed.size());
  double total = 0, together = 0;
  for (double v : speed) together += v;
  for (size_t i = 0; i < s.items(); ++i) {
    const Split::Item item = s.item(i);
    const double work = static_cast<double>((item.pixels + mr - 1) / mr * (item.unit_end - item.unit_begin));
    const auto next = std::min_element(free_at.begin(), free_at.end());
    *next += work / speed[static_cast<size_t>(next - free_at.begin())];
    total += work;
  }
  return *std::max_element(free_at.begin(), free_at.end()) * together / total;
}

TEST(Split, CoversEverythingOnce) {
  for (size_t pixels : {size_t{1}, size_t{6}, size_t{7}, size_t{49}, size_t{127}, size_t{128}, size_t{129}, size_t{3136}, size_t{20'003}})
    for (uint32_t units : {1u, 2u, 7u, 16u})
      for (uint32_t mr : {1u, 4u, 7u, 64u})
        for (uint64_t cycles : {uint64_t{1}, uint64_t{20'000}, uint64_t{400'000}, uint64_t{1} << 40})
          for (unsigned threads : {1u, 2u, 3u, 64u}) {
            const Split s = split_work(pixels, units, mr, cycles, threads);
            std::vector<uint8_t> seen(pixels * units);
            for (size_t i = 0; i < s.items(); ++i) {
              const Split::Item item = s.item(i);
              ASSERT_EQ(item.first % mr, 0u);
              ASSERT_GT(item.pixels, 0u);
              ASSERT_LE(item.pixels, kChunk);
              ASSERT_LE(item.first + item.pixels, pixels);
              ASSERT_LT(item.unit_begin, item.unit_end);
              ASSERT_LE(item.unit_end, units);
              for (size_t p = item.first; p < item.first + item.pixels; ++p)
                for (uint32_t u = item.unit_begin; u < item.unit_end; ++u) ++seen[p * units + u];
            }
            ASSERT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(seen.size()))
                << pixels << " pixels, " << units << " units, mr " << mr << ", " << cycles << " cycles, " << threads << " threads";
            if (threads == 1) {
              ASSERT_EQ(s.items(), (pixels + kChunk / mr * mr - 1) / (kChunk / mr * mr));
            }
          }
}

TEST(Split, ItemsOfOtherSizesCoverEverythingOnce) {
  for (size_t pixels : {size_t{1}, size_t{49}, size_t{3136}, size_t{20'003}})
    for (uint32_t chunk : {1u, 12u, 50u, 1000u, 1u << 20})
      for (uint32_t mr : {1u, 6u, 14u})
        for (unsigned threads : {1u, 2u, 5u}) {
          const Split s = split_work(pixels, 3, mr, uint64_t{1} << 40, threads, chunk);
          std::vector<uint8_t> seen(pixels * 3);
          for (size_t i = 0; i < s.items(); ++i) {
            const Split::Item item = s.item(i);
            ASSERT_LE(item.pixels, std::max(chunk, mr));
            for (size_t p = item.first; p < item.first + item.pixels; ++p)
              for (uint32_t u = item.unit_begin; u < item.unit_end; ++u) ++seen[p * 3 + u];
          }
          ASSERT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(seen.size())) << pixels << " pixels, items of " << chunk << ", mr " << mr;
        }
}

TEST(Split, ManyPixelsTakeFewRounds) {
  const Split s = split_work(100'000'003, 3, 7, uint64_t{1} << 40, 2);
  EXPECT_LE(s.items(), 100'000'003u / 126 + 60);
  size_t next = 0;
  for (size_t i = 0; i < s.items(); ++i) next = std::max(next, s.item(i).first + s.item(i).pixels);
  EXPECT_EQ(next, 100'000'003u);
}

// pixels, units of 64 outputs
const std::vector<std::pair<size_t, uint32_t>> kLayers{{3136, 1}, {784, 2}, {196, 4}, {49, 8}, {3136, 2}, {784, 4}, {196, 8}};

TEST(Split, BinaryLayersOfResNet18BalanceOnTwoThreads) {
  for (const auto& [pixels, units] : kLayers)
    for (uint32_t mr : {4u, 7u, 8u}) {
      const Split s = split_work(pixels, units, mr, 200'000, 2);
      EXPECT_LE(s.items(), 50u);  // 300 cycles each
      for (double slower : {1.0, 0.9, 0.75, 0.5})
        EXPECT_LE(imbalance(s, mr, {1.0, slower}), slower == 1.0 ? 1.02 : 1.04) << pixels << " pixels, " << units << " units, mr " << mr << ", " << slower;
    }
}

TEST(Split, ManyThreadsBalanceToo) {
  for (unsigned threads : {3u, 4u, 8u, 16u})
    for (const auto& [pixels, units] : kLayers)
      EXPECT_LE(imbalance(split_work(pixels, units, 7, 4'000'000, threads), 7, std::vector<double>(threads, 1.0)), 1.2)
          << threads << " threads, " << pixels << " pixels, " << units << " units";
}

// Outputs of one pixel share cache lines. Two threads of equal speed have the items of a pair at the same time.
TEST(Split, PairsWriteToDifferentPixels) {
  for (const auto& [pixels, units] : kLayers) {
    const Split s = split_work(pixels, units, 7, 200'000, 2);
    for (size_t i = 0; i < s.items() / 2; i += 2)
      EXPECT_NE(s.item(i).first, s.item(i + 1).first) << "item " << i << " of " << pixels << " pixels, " << units << " units";
  }
}

TEST(Split, SmallWorkIsNotCutIntoCrumbs) { EXPECT_LE(split_work(49, 8, 7, 5000, 16).items(), 4u); }

TEST(SlicedSplit, CoversEverythingOnce) {
  for (const size_t groups : {1, 2, 3, 4, 5, 7, 8, 13, 26, 27, 40, 102, 392, 1001})
    for (const uint32_t panels : {1u, 2u, 3u, 4u, 8u, 17u})
      for (const unsigned threads : {1u, 2u, 3u, 5u, 16u})
        for (const size_t weights : {size_t{1} << 14, size_t{1} << 20}) {
          const SlicedSplit split(groups, panels, 3, weights, threads);
          std::vector<int> times(groups * panels);
          for (size_t i = 0; i < split.items(); ++i) {
            const SlicedSplit::Item item = split.item(i);
            ASSERT_LE(item.end, groups);
            ASSERT_LE(item.panel_end, panels);
            for (uint32_t panel = item.panel_begin; panel < item.panel_end; ++panel)
              for (size_t g = item.first; g < item.end; ++g) ++times[panel * groups + g];
          }
          EXPECT_EQ(std::count(times.begin(), times.end(), 1), static_cast<std::ptrdiff_t>(times.size()))
              << groups << " groups, " << panels << " panels, " << threads << " threads, " << weights << " bytes";
        }
}

// What the layers are whose threads it was made for: the last item is a small share of all work.
TEST(SlicedSplit, LayersOfResnet18EndTogether) {
  const auto largest_last = [](const SlicedSplit& s) {
    const SlicedSplit::Item item = s.item(s.items() - 1);
    return static_cast<double>((item.end - item.first) * (item.panel_end - item.panel_begin));
  };
  EXPECT_LE(largest_last(SlicedSplit(392, 1, 3, 18'000, 2)) / 392, 0.02);
  EXPECT_LE(largest_last(SlicedSplit(102, 2, 3, 74'000, 2)) / 204, 0.02);
  EXPECT_LE(largest_last(SlicedSplit(26, 4, 3, 295'000, 2)) / 104, 0.03);
  EXPECT_LE(largest_last(SlicedSplit(7, 8, 3, 1'180'000, 2)) / 56, 0.08);
}

}  // namespace
}  // namespace bitwright
