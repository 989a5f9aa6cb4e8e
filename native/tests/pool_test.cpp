// The thread pool: every item once, exceptions, nesting, sharing, how pools share the CPUs, forks, destruction.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpus.h"
#include "pool.h"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace bitwright {
namespace {

TEST(Pool, EveryItemOnce) {
  for (unsigned threads : {1u, 2u, 5u}) {
    Pool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (size_t items : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}}) {
      std::vector<std::atomic<int>> hits(items);
      pool.run(items, [&](size_t i, unsigned thread) {
        ASSERT_LT(thread, threads);
        ++hits[i];
      });
      for (const auto& h : hits) EXPECT_EQ(h.load(), 1);
    }
  }
}

TEST(Pool, ManyShortJobs) {
  Pool pool(3);
  const Pool::Busy busy(pool);
  size_t total = 0;
  for (int job = 0; job < 20000; ++job) {
    std::atomic<size_t> sum{0};
    pool.run(7, [&](size_t i, unsigned) { sum += i; });
    total += sum;
  }
  EXPECT_EQ(total, size_t{20000} * 21);
}

TEST(Pool, ACallerMayAskForFewerThreads) {
  Pool pool(3);
  const auto most = [&] {
    std::atomic<unsigned> last{0};
    for (int job = 0; job < 200; ++job)
      pool.run(50, [&](size_t, unsigned thread) {
        unsigned seen = last.load();
        while (seen < thread && !last.compare_exchange_weak(seen, thread)) {
        }
      });
    return last.load();
  };
  EXPECT_TRUE(pool.worth_sharing(UINT64_MAX));
  {
    const Pool::AtMost two(2);
    EXPECT_LT(most(), 2u);
    {
      const Pool::AtMost one(1);
      EXPECT_FALSE(pool.worth_sharing(UINT64_MAX));
      EXPECT_EQ(most(), 0u);
      const Pool::AtMost as_before(0);
      EXPECT_EQ(most(), 0u);
      std::thread([&] { EXPECT_TRUE(pool.worth_sharing(UINT64_MAX)); }).join();  // the limit is this thread's
    }
    EXPECT_TRUE(pool.worth_sharing(UINT64_MAX));
    EXPECT_LT(most(), 2u);
  }
  EXPECT_LT(most(), 3u);
}

TEST(Pool, ExceptionsReachTheCaller) {
  Pool pool(2);
  for (int repeat = 0; repeat < 50; ++repeat)
    EXPECT_THROW(pool.run(100, [](size_t i, unsigned) {
      if (i == 63) throw std::runtime_error("63");
    }),
                 std::runtime_error);
  std::atomic<int> done{0};
  pool.run(10, [&](size_t, unsigned) { ++done; });
  EXPECT_EQ(done.load(), 10);
}

TEST(Pool, ThreadsIdsAreNotShared) {
  // Scratch memory belongs to a thread index: no two items of one job may run under the same index at once.
  Pool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> clash{false};
  for (int job = 0; job < 200; ++job)
    pool.run(50, [&](size_t, unsigned thread) {
      if (inside[thread].fetch_add(1) != 0) clash = true;
      inside[thread].fetch_sub(1);
    });
  EXPECT_FALSE(clash.load());
}

TEST(Pool, SharedByThreads) {
  Pool pool(2);
  std::atomic<size_t> total{0};
  std::vector<std::thread> callers;
  for (int k = 0; k < 4; ++k)
    callers.emplace_back([&] {
      for (int job = 0; job < 500; ++job) pool.run(11, [&](size_t i, unsigned) { total += i; });
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(total.load(), size_t{4} * 500 * 55);
}

TEST(Pool, InsideAnotherJob) {
  Pool pool(2);
  std::atomic<size_t> total{0};
  pool.run(8, [&](size_t, unsigned) { pool.run(3, [&](size_t i, unsigned) { total += i; }); });
  EXPECT_EQ(total.load(), size_t{24});
}

// How many threads take part in a job whose items wait for one another, for a while.
unsigned participants(Pool& pool) {
  std::atomic<unsigned> seen{0};
  std::vector<std::atomic<int>> inside(pool.threads());
  const auto patience = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  pool.run(pool.threads(), [&](size_t, unsigned thread) {
    if (inside[thread].fetch_add(1) == 0) ++seen;
    while (seen < pool.threads() && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  });
  return seen;
}

TEST(Pool, OneCallerGetsAllThreads) {
  Pool pool(3);
  EXPECT_EQ(participants(pool), 3u);
  const Pool::Busy busy(pool);
  EXPECT_EQ(participants(pool), 3u);
}

TEST(Pool, PoolsInUseShareTheCpus) {
  const unsigned cpus = available_cpus();
  Pool a(cpus + 1), b(cpus + 1);
  const Pool::Busy one(a), two(b);
  EXPECT_EQ(participants(a), std::max(cpus / 2, 1u));
  EXPECT_EQ(participants(b), std::max(cpus / 2, 1u));
}

TEST(Pool, AfterACrowdAllThreadsComeBack) {
  Pool a(2);
  {
    Pool b(2);
    const Pool::Busy one(a), two(b);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const Pool::Busy busy(a);
  EXPECT_EQ(participants(a), 2u);
}

TEST(Pool, SmallJobsAreNotShared) {
  Pool pool(2);
  const Pool::Busy busy(pool);
  EXPECT_FALSE(pool.worth_sharing(10));
  EXPECT_TRUE(pool.worth_sharing(1'000'000));
  const auto caller = std::this_thread::get_id();
  pool.run(100, [&](size_t, unsigned thread) {
    EXPECT_EQ(thread, 0u);
    EXPECT_EQ(std::this_thread::get_id(), caller);
  }, 10);
}

#if defined(__linux__)
double thread_cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

TEST(Pool, IdleWorkersSleep) {
  Pool pool(4);
  pool.run(100, [](size_t, unsigned) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = thread_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(thread_cpu_seconds() - before, 0.03);
  const Pool::Busy busy(pool);  // busy, but no job comes
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double busy_before = thread_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(thread_cpu_seconds() - busy_before, 0.03);
}
#endif

TEST(Pool, BuiltAndDestroyedInTheMiddleOfEverything) {
  for (int i = 0; i < 100; ++i) {
    Pool pool(3);
    if (i % 3 == 0) continue;  // before the workers have started
    std::atomic<int> items{0};
    pool.run(20, [&](size_t, unsigned) { ++items; });
    EXPECT_EQ(items.load(), 20);
    if (i % 3 == 1) std::this_thread::sleep_for(std::chrono::microseconds(200));  // asleep, not spinning
  }
}

TEST(Pool, SeveralPoolsInSeveralThreads) {
  std::vector<std::thread> callers;
  std::atomic<size_t> total{0};
  for (int k = 0; k < 3; ++k)
    callers.emplace_back([&] {
      Pool pool(2);
      for (int run = 0; run < 100; ++run) {
        const Pool::Busy busy(pool);
        for (int job = 0; job < 10; ++job) pool.run(5, [&](size_t i, unsigned) { total += i; });
      }
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(total.load(), size_t{3} * 100 * 10 * 10);
}

#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
TEST(Pool, AForkedChildRunsAlone) {
  Pool pool(2);
  // A thread that is just starting may hold a lock of the allocator (AddressSanitizer's does not know of forks): wait until it works.
  // Each try is a new Busy, since one that begins while a crowd is remembered gets no workers.
  std::atomic<bool> helped{false};
  for (int tries = 0; !helped; ++tries) {
    ASSERT_LT(tries, 10000) << "the worker does not take part";
    const Pool::Busy busy(pool);
    pool.run(2, [&](size_t, unsigned thread) {
      if (thread > 0) helped = true;
      for (int i = 0; i < 1000 && !helped; ++i) std::this_thread::yield();
    });
  }
  const Pool::Busy busy(pool);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);         // a child that hangs must not hold up who waits for it
    size_t total = 0;  // not atomic: one thread
    pool.run(10, [&](size_t i, unsigned) { total += i; });
    size_t inner = 0;
    {
      Pool own(2);
      std::atomic<size_t> sum{0};
      own.run(10, [&](size_t i, unsigned) { sum += i; });
      inner = sum;
    }
    _exit(total == 45 && inner == 45 ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

}  // namespace
}  // namespace bitwright
