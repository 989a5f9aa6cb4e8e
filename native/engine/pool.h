// Threads that wait for work. They spin for a moment (the next op of a run comes within microseconds), then sleep.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace bitwright {

class Pool {
 public:
  // `threads` counts the caller of run: threads - 1 are created. They inherit the creator's CPU affinity.
  explicit Pool(unsigned threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  unsigned threads() const { return threads_; }

  // Whether a job of so many CPU cycles, roughly, gains from a second thread; and whether one may be had now.
  bool worth_sharing(uint64_t cycles) const { return threads_ > 1 && cycles >= kWorthSharing && helpers() > 0; }

  // fn(item, thread) for each item < items, thread < threads(). Returns when all are done. `cycles`: see worth_sharing.
  // Short items are taken several at a time, so that taking them costs little.
  // Several threads may call it at once: one gets the pool, the others do their items alone, so nobody waits for anybody. The same after fork(),
  // where the created threads are gone. When several pools are in use at once (see Busy), each takes its share of the CPUs and no more: on
  // two CPUs two sessions run on one thread each.
  template <class Fn>
  void run(size_t items, Fn&& fn, uint64_t cycles = UINT64_MAX) {
    using F = std::remove_reference_t<Fn>;
    const bool share = items > 1 && worth_sharing(cycles);
    const size_t batch = share ? std::clamp<size_t>(static_cast<size_t>(items * (kBatchCycles / static_cast<double>(cycles))), 1, (items + threads_ - 1) / threads_) : 1;
    run_erased(items, batch, const_cast<void*>(static_cast<const void*>(&fn)),
               [](void* f, size_t item, unsigned thread) { (*static_cast<F*>(f))(item, thread); }, share);
  }

  // While one exists, jobs of the thread that made it are shared by at most so many threads; 0: no limit.
  class AtMost {
   public:
    explicit AtMost(unsigned threads) : before_(most_) {
      if (threads != 0) most_ = threads;
    }
    ~AtMost() { most_ = before_; }
    AtMost(const AtMost&) = delete;
    AtMost& operator=(const AtMost&) = delete;

   private:
    const unsigned before_;
  };

  // A caller that is about to run many jobs, one after the other. While one exists, the workers spin longer between jobs.
  class Busy {
   public:
    explicit Busy(Pool& pool);
    ~Busy();
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    Pool& pool_;
    unsigned process_;
  };

 private:
  static constexpr uint64_t kWorthSharing = 3000;
  static constexpr double kBatchCycles = 1500;  // of the items taken at a time, at least

  static thread_local unsigned most_;
  using Call = void (*)(void*, size_t, unsigned);
  struct Seat;  // where an idle worker sleeps

  void run_erased(size_t items, size_t batch, void* fn, Call call, bool share);
  unsigned helpers() const;
  void worker(unsigned index);
  uint64_t wait_for_job(unsigned index, uint64_t seen);
  void take_items(unsigned thread);
  bool may_spin(int64_t idle_ns) const;
  void stop();

  const unsigned threads_;
  std::vector<std::thread> workers_;  // of the constructor's and destructor's thread only
  // On the heap, because a forked child leaves them behind: destroying a condition variable that threads were waiting on when the process
  // forked would wait for them for ever.
  std::unique_ptr<Seat[]> seats_;
  unsigned process_ = 0;  // which process of a line of forks owns the workers
  unsigned cpus_ = 1;

  std::atomic_flag owned_ = ATOMIC_FLAG_INIT;  // by the caller whose job runs; not a mutex, since a job may call run again
  std::atomic<int> busy_{0};
  std::atomic<bool> crowded_{false};  // other pools were in use a moment ago
  std::atomic<bool> stop_{false};

  // What a worker reads when a job begins lies on one cache line. `job_` is odd while a job is open.
  alignas(64) std::atomic<uint64_t> job_{0};
  std::atomic<unsigned> wanted_{0};  // workers 1 .. wanted_ may take part
  std::atomic<int> caller_cpu_{-1};  // where the caller ran when it last woke somebody
  void* fn_ = nullptr;
  Call call_ = nullptr;
  size_t items_ = 0, batch_ = 1;
  alignas(64) std::atomic<size_t> next_{0};
  alignas(64) std::atomic<unsigned> entered_{0};
  alignas(64) std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace bitwright
