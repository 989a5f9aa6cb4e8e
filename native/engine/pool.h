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

  // Cells [begin, end) for thread < threads() to do; `first`: its first ones of this job.
  struct Part {
    size_t begin, end;
    unsigned thread;
    bool first;
  };

  // fn(part) until all cells, [0, cells), are done. `cycles`: see worth_sharing; `step`: parts
  // begin and end at multiples of it, but for the last small ones.
  // Each thread begins at a place of its own, always the same for jobs of as many cells, and takes ever smaller parts; who is done helps the others from
  // the far end of theirs. So threads find in their caches what they wrote in the job before, if cells of both lie alike in memory.
  // Several threads may call it at once: one gets the pool, the others do their cells alone, so nobody waits for anybody. The same after fork(),
  // where the created threads are gone. When several pools are in use at once (see Busy), each takes its share of the CPUs and no more: on
  // two CPUs two sessions run on one thread each.
  template <class Fn>
  void run_parts(size_t cells, size_t step, Fn&& fn, uint64_t cycles = UINT64_MAX) {
    using F = std::remove_reference_t<Fn>;
    if (cells == 0) return;
    if (cells == 1 || !worth_sharing(cycles)) return fn(Part{0, cells, 0, true});
    run_erased(cells, step, cycles, const_cast<void*>(static_cast<const void*>(&fn)),
               [](void* f, const Part& part) { (*static_cast<F*>(f))(part); });
  }

  // fn(item, thread) for each item < items.
  template <class Fn>
  void run(size_t items, Fn&& fn, uint64_t cycles = UINT64_MAX) {
    run_parts(items, 1, [&](const Part& part) {
      for (size_t item = part.begin; item < part.end; ++item) fn(item, part.thread);
    }, cycles);
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
  static constexpr double kLeastCycles = 1000;  // of a part

  static thread_local unsigned most_;
  using Call = void (*)(void*, const Part&);
  struct Seat;  // a worker's
  struct Lane;  // a thread's cells

  void run_erased(size_t cells, size_t step, uint64_t cycles, void* fn, Call call);
  unsigned helpers() const;
  void worker(unsigned index);
  uint64_t wait_for_job(unsigned index, uint64_t seen);
  void wake(unsigned wanted, unsigned& woken);
  // Cells that it has done.
  uint64_t take_parts(unsigned thread, uint32_t tag, uint64_t known);
  uint64_t do_part(uint32_t begin, uint32_t end, unsigned thread, bool first);
  uint64_t drop_the_rest();
  uint64_t done_by_workers() const;
  bool may_spin(int64_t idle_ns) const;
  void stop();

  const unsigned threads_;
  std::vector<std::thread> workers_;  // of the constructor's and destructor's thread only
  // On the heap, because a forked child leaves them behind: destroying a condition variable that threads were waiting on when the process
  // forked would wait for them for ever.
  std::unique_ptr<Seat[]> seats_;
  std::unique_ptr<Lane[]> lanes_;
  unsigned process_ = 0;  // which process of a line of forks owns the workers
  unsigned cpus_ = 1;

  std::atomic_flag owned_ = ATOMIC_FLAG_INIT;  // by the caller whose job runs; not a mutex, since a job may call run again
  uint64_t done_before_ = 0;                   // done_by_workers() when the last job ended; the owner's
  std::atomic<int> busy_{0};
  std::atomic<bool> crowded_{false};  // other pools were in use a moment ago
  std::atomic<bool> stop_{false};

  // What a worker reads when a job begins lies on one cache line, which nobody writes while the job is on: a line that another core wrote takes
  // 100 ns and more to come. Whoever has taken cells may read all of it, since the job does not end before they are done.
  alignas(128) std::atomic<uint64_t> job_{0};  // counts them
  void* fn_ = nullptr;
  Call call_ = nullptr;
  size_t cells_ = 0;
  uint32_t scale_ = 1;  // cells of the caller's that a cell of the lanes stands for
  std::atomic<uint32_t> first_{1}, least_{1}, step_{1};  // of parts: a thread's first one's size, ...
  std::atomic<unsigned> wanted_{0};  // workers 1 .. wanted_ may take part
  std::atomic<int> caller_cpu_{-1};  // where the caller ran when it last woke somebody
  alignas(128) std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace bitwright
