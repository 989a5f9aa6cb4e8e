// Threads that wait for work. They spin for a moment (the next op of a run comes within microseconds), then sleep.
#pragma once

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

// CPUs that this process may use (its affinity mask), at least 1.
unsigned available_cpus();

class Pool {
 public:
  // `threads` counts the caller of run: threads - 1 are created. They inherit the creator's CPU affinity.
  explicit Pool(unsigned threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  unsigned threads() const { return static_cast<unsigned>(workers_.size()) + 1; }

  // fn(item, thread) for each item < items, thread < threads(). Returns when all are done. Several threads may call it at once: one gets the
  // pool, the others do their items alone, so nobody waits for anybody. The same after fork(), where the created threads are gone.
  template <class Fn>
  void run(size_t items, Fn&& fn) {
    using F = std::remove_reference_t<Fn>;
    run_erased(items, const_cast<void*>(static_cast<const void*>(&fn)),
               [](void* f, size_t item, unsigned thread) { (*static_cast<F*>(f))(item, thread); });
  }

  // While one exists, the workers may spin between jobs, if all pools in use together do not want more threads than there are CPUs.
  class Busy {
   public:
    explicit Busy(Pool& pool);
    ~Busy();
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    Pool& pool_;
  };

 private:
  using Call = void (*)(void*, size_t, unsigned);
  void run_erased(size_t items, void* fn, Call call);
  void worker(unsigned index);
  void take_items(unsigned thread);
  bool may_spin() const;

  std::vector<std::thread> workers_;
  long owner_process_ = 0;

  std::atomic_flag owned_ = ATOMIC_FLAG_INIT;  // by the caller whose job runs; not a mutex, since a job may call run again
  void* fn_ = nullptr;
  Call call_ = nullptr;
  size_t items_ = 0;
  alignas(64) std::atomic<size_t> next_{0};
  alignas(64) std::atomic<unsigned> entered_{0};
  alignas(64) std::atomic<bool> open_{false};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> busy_{0};

  // Where idle workers wait. On the heap, because a forked child leaves it behind: destroying a condition variable that threads were waiting on
  // when the process forked would wait for them for ever.
  struct Parking {
    std::mutex mutex;
    std::condition_variable wake;
  };
  std::unique_ptr<Parking> parking_ = std::make_unique<Parking>();
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace bitwright
