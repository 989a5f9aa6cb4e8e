// Work splitting: cells of a grid are covered once, parts get small, spans give each cell to one taker.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "pool.h"
#include "span.h"
#include "split.h"

namespace bitwright {
namespace {

TEST(Split, RectanglesCoverTheirCellsOnce) {
  std::mt19937 random(1);
  for (const size_t tiles : {1, 2, 3, 7, 28, 131})
    for (const uint32_t units : {1u, 2u, 3u, 8u, 17u})
      for (const bool by_units : {false, true}) {
        const Split split(tiles, units, by_units);
        ASSERT_EQ(split.cells(), tiles * units);
        EXPECT_EQ(split.step(), by_units ? tiles : units);
        std::vector<int> seen(split.cells());
        for (size_t begin = 0, end; begin < split.cells(); begin = end) {
          end = begin + 1 + random() % (split.cells() - begin);
          size_t count = 0, area = 0;
          split.rectangles(begin, end, [&](size_t tile0, size_t tile1, uint32_t unit0, uint32_t unit1) {
            ASSERT_LT(tile0, tile1);
            ASSERT_LE(tile1, tiles);
            ASSERT_LT(unit0, unit1);
            ASSERT_LE(unit1, units);
            ++count;
            area += (tile1 - tile0) * (unit1 - unit0);
            for (size_t t = tile0; t < tile1; ++t)
              for (uint32_t u = unit0; u < unit1; ++u) ++seen[by_units ? u * tiles + t : t * units + u];
          });
          EXPECT_LE(count, 3u);
          EXPECT_EQ(area, end - begin);
          for (size_t cell = begin; cell < end; ++cell) ASSERT_EQ(seen[cell], 1);
        }
      }
}

TEST(Split, WholeGridIsOneRectangle) {
  for (const bool by_units : {false, true}) {
    size_t count = 0;
    Split(13, 5, by_units).rectangles(0, 65, [&](size_t, size_t tiles, uint32_t, uint32_t units) {
      ++count;
      EXPECT_EQ(tiles, 13u);
      EXPECT_EQ(units, 5u);
    });
    EXPECT_EQ(count, 1u);
  }
}

TEST(Split, ByUnitsForFewTilesOrMuchWeight) {
  EXPECT_FALSE(Split::by_units(448, 1, 5'000, 2));       // 56x56, 64 -> 64
  EXPECT_FALSE(Split::by_units(28, 4, 74'000, 2));       // 14x14, 256 -> 256
  EXPECT_TRUE(Split::by_units(7, 8, 295'000, 2));        // 7x7, 512 -> 512
  EXPECT_TRUE(Split::by_units(1, 16, 100'000, 2));       // a vector
  EXPECT_TRUE(Split::by_units(448, 64, 4'000'000, 2));   // weights that L2 cannot hold
  EXPECT_FALSE(Split::by_units(448, 1, 4'000'000, 2));   // one unit cannot be cut
}

TEST(Span, PacksAndTakesFromBothEnds) {
  const Span span{4095, 3, (1u << 26) - 1};
  const Span again = Span::unpack(span.pack());
  EXPECT_EQ(again.tag, span.tag);
  EXPECT_EQ(again.begin, span.begin);
  EXPECT_EQ(again.end, span.end);
  Span s{7, 10, 20};
  Span part = s.take(4, false);
  EXPECT_EQ(part.begin, 10u);
  EXPECT_EQ(part.end, 14u);
  part = s.take(2, true);
  EXPECT_EQ(part.begin, 18u);
  EXPECT_EQ(part.end, 20u);
  part = s.take(100, true);  // no more than there are
  EXPECT_EQ(part.begin, 14u);
  EXPECT_EQ(part.end, 18u);
  EXPECT_EQ(s.size(), 0u);
  EXPECT_EQ(s.tag, 7u);
}

TEST(Span, PartsGetSmall) {
  for (const uint32_t all : {1u, 2u, 3u, 7u, 100u, 131u, 5000u})
    for (const uint32_t least : {1u, 2u, 5u})
      for (const uint32_t step : {1u, 4u}) {
        uint32_t first = std::min(first_part_of(all, least, step), all), left = all - first, parts = 1, last = first;
        EXPECT_GE(first, 1u);
        if (all > 4 * step && all > 4 * least) {
          EXPECT_EQ(first % step, 0u);
          EXPECT_GE(first * 4, all * 2);
          EXPECT_LE(first * 4, all * 3 + 4);
        }
        for (; left > 0; ++parts) {
          last = std::min(part_of(left, least, step), left);
          ASSERT_GE(last, 1u);
          left -= last;
        }
        if (all > 4 * least) {
          EXPECT_LE(last, least);
        }
        EXPECT_LE(parts, 20u);
      }
}

// The parts of a job, in the order of their beginnings.
std::vector<Pool::Part> parts_of(Pool& pool, size_t cells, size_t step, uint64_t cycles = UINT64_MAX) {
  std::mutex mutex;
  std::vector<Pool::Part> parts;
  pool.run_parts(cells, step, [&](const Pool::Part& part) {
    const std::lock_guard<std::mutex> lock(mutex);
    parts.push_back(part);
  }, cycles);
  std::sort(parts.begin(), parts.end(), [](const Pool::Part& a, const Pool::Part& b) { return a.begin < b.begin; });
  return parts;
}

TEST(Parts, CoverEverythingOnceAndSayWhichIsTheFirst) {
  for (const unsigned threads : {1u, 2u, 3u, 4u, 7u}) {
    Pool pool(threads);
    const Pool::Busy busy(pool);
    for (int round = 0; round < 20; ++round)
      for (const size_t cells : {1, 2, 3, 7, 56, 131, 1000})
        for (const size_t step : {1, 2, 5, 64}) {
          size_t next = 0;
          std::map<unsigned, int> first;
          for (const Pool::Part& part : parts_of(pool, cells, step)) {
            ASSERT_EQ(part.begin, next);
            ASSERT_LT(part.begin, part.end);
            ASSERT_LT(part.thread, threads);
            next = part.end;
            first[part.thread] += part.first;
          }
          ASSERT_EQ(next, cells);
          for (const auto& [thread, times] : first) ASSERT_EQ(times, 1) << "thread " << thread << " of " << threads;
        }
  }
}

TEST(Parts, NoneOfNothing) {
  Pool pool(2);
  EXPECT_TRUE(parts_of(pool, 0, 1).empty());
}

TEST(Parts, ManyCellsAreCountedInBlocks) {
  Pool pool(2);
  const size_t cells = (size_t{1} << 24) * 5 + 3;
  size_t next = 0;
  for (const Pool::Part& part : parts_of(pool, cells, 3, uint64_t{1} << 30)) {
    ASSERT_EQ(part.begin, next);
    next = part.end;
  }
  EXPECT_EQ(next, cells);
}

TEST(Parts, OneThreadGetsOnePart) {
  Pool pool(1);
  EXPECT_EQ(parts_of(pool, 1000, 4).size(), 1u);
  Pool two(2);
  EXPECT_EQ(parts_of(two, 1000, 4, 100).size(), 1u);  // too short to be shared
}

// More jobs than tags: late workers must not touch a later job's cells.
TEST(Parts, TagsMayRunOut) {
  Pool pool(3);
  const Pool::Busy busy(pool);
  for (int job = 0; job < 10'000; ++job) {
    std::atomic<size_t> sum{0};
    pool.run_parts(9, 1, [&](const Pool::Part& part) {
      for (size_t i = part.begin; i < part.end; ++i) sum += i + 1;
    });
    ASSERT_EQ(sum.load(), 45u) << "job " << job;
  }
}

// What makes caches warm: of equal jobs, each thread begins at the same place.
TEST(Parts, ThreadsBeginWhereTheyDid) {
  Pool pool(2);
  const Pool::Busy busy(pool);
  unsigned both = 0;
  for (int tries = 0; tries < 2000 && both < 20; ++tries) {
    std::atomic<unsigned> arrived{0};
    const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
    size_t begin[2] = {SIZE_MAX, SIZE_MAX}, end[2] = {};
    pool.run_parts(100, 4, [&](const Pool::Part& part) {
      if (!part.first) return;
      begin[part.thread] = part.begin;
      end[part.thread] = part.end;
      ++arrived;
      while (arrived < 2 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    });
    if (arrived < 2) continue;  // the worker came late
    ++both;
    EXPECT_EQ(begin[0], 0u);
    EXPECT_EQ(end[0] % 4, 0u);
    EXPECT_GE(end[0], 32u);
    EXPECT_EQ(end[1], 100u);
    EXPECT_LE(begin[1], 68u);
  }
  EXPECT_GE(both, 1u);
}

}  // namespace
}  // namespace bitwright
