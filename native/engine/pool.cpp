#include "pool.h"

#include <algorithm>

#include "error.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace bitwright {
namespace {

constexpr int kSpins = 2000;  // some tens of microseconds

std::atomic<int> threads_in_use{0};  // of all pools that run

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

long process_id() {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<long>(::getpid());
#else
  return 0;
#endif
}

}  // namespace

unsigned available_cpus() {
#if defined(__linux__)
  for (int count = 1024; count <= 1 << 20; count *= 4) {
    cpu_set_t* set = CPU_ALLOC(count);
    if (!set) break;
    const size_t size = CPU_ALLOC_SIZE(count);
    const bool known = ::sched_getaffinity(0, size, set) == 0;
    const int cpus = known ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (cpus > 0) return static_cast<unsigned>(cpus);
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

Pool::Pool(unsigned threads) : owner_process_(process_id()) {
  try {
    for (unsigned i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
  } catch (const std::exception& error) {
    stop_ = true;
    {
      std::lock_guard<std::mutex> lock(parking_->mutex);
    }
    parking_->wake.notify_all();
    for (std::thread& w : workers_) w.join();
    fail(Status::kMemory, "cannot start ", threads - 1, " threads: ", error.what());
  }
}

Pool::~Pool() {
  if (process_id() != owner_process_) {
    // A forked child: the threads do not exist here; their handles must be neither joined nor destroyed.
    new std::vector<std::thread>(std::move(workers_));
    (void)parking_.release();
    return;
  }
  stop_ = true;
  {
    std::lock_guard<std::mutex> lock(parking_->mutex);
  }
  parking_->wake.notify_all();
  for (std::thread& w : workers_) w.join();
}

Pool::Busy::Busy(Pool& pool) : pool_(pool) {
  threads_in_use += static_cast<int>(pool.threads());
  ++pool.busy_;
}

Pool::Busy::~Busy() {
  --pool_.busy_;
  threads_in_use -= static_cast<int>(pool_.threads());
}

bool Pool::may_spin() const {
  static const int cpus = static_cast<int>(available_cpus());
  return busy_.load(std::memory_order_relaxed) > 0 && threads_in_use.load(std::memory_order_relaxed) <= cpus;
}

void Pool::take_items(unsigned thread) {
  for (;;) {
    const size_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= items_) return;
    try {
      call_(fn_, item, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(items_, std::memory_order_relaxed);
    }
  }
}

// A worker joins a job by counting itself in `entered_` and then looking whether the job is still open. The caller closes the job and waits until
// nobody is inside before it touches the job's fields again. So the caller never waits for a worker that has not woken yet.
void Pool::run_erased(size_t items, void* fn, Call call) {
  if (items == 0) return;
  if (workers_.empty() || items == 1 || process_id() != owner_process_ || owned_.test_and_set(std::memory_order_acquire)) {
    for (size_t i = 0; i < items; ++i) call(fn, i, 0);
    return;
  }
  const struct Release {
    std::atomic_flag& flag;
    ~Release() { flag.clear(std::memory_order_release); }
  } release{owned_};
  fn_ = fn;
  call_ = call;
  items_ = items;
  next_.store(0, std::memory_order_relaxed);
  open_.store(true);
  epoch_.fetch_add(1);
  if (sleepers_.load() > 0) {
    {
      std::lock_guard<std::mutex> lock(parking_->mutex);
    }
    parking_->wake.notify_all();
  }
  take_items(0);
  open_.store(false);
  for (int spins = 0; entered_.load() != 0; ++spins) {
    if (spins < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (failure_) {
    std::exception_ptr failure;
    std::swap(failure, failure_);
    std::rethrow_exception(failure);
  }
}

void Pool::worker(unsigned index) {
  uint64_t seen = 0;
  for (;;) {
    int spins = 0;
    while (epoch_.load() == seen && !stop_.load()) {
      if (spins++ < kSpins && may_spin()) {
        pause();
        continue;
      }
      std::unique_lock<std::mutex> lock(parking_->mutex);
      ++sleepers_;
      parking_->wake.wait(lock, [&] { return epoch_.load() != seen || stop_.load(); });
      --sleepers_;
    }
    if (stop_.load()) return;
    seen = epoch_.load();
    entered_.fetch_add(1);
    if (open_.load()) take_items(index);
    entered_.fetch_sub(1);
  }
}

}  // namespace bitwright
