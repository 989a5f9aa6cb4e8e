#include "pool.h"

#include <algorithm>
#include <chrono>
#include <climits>

#include "cpus.h"
#include "error.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define BITWRIGHT_HAS_FORK 1
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace bitwright {
namespace {

// How long a worker spins after its last job: while a run is on, its next op may come after a short one that is not shared; between two runs
// the caller may be about to start the next.
constexpr int64_t kSpinBusy = 300'000, kSpinIdle = 50'000;  // ns
constexpr int64_t kCrowded = 2'000'000;                     // ns that two overlapping runs are remembered
constexpr int kSpinsPerLook = 32;                           // between looks at the clock
constexpr int kSpinsAtEnd = 200;                            // before a caller yields the CPU to a worker that was interrupted

// Of all pools of the process.
std::atomic<int> callers{0};         // that are busy
std::atomic<int> threads_in_use{0};  // that their pools have
std::atomic<int64_t> crowded_until{0};
std::atomic<unsigned> process{0};    // counts forks

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

int this_cpu() {
#if defined(__linux__)
  return ::sched_getcpu();
#else
  return -1;
#endif
}

// Linux sometimes wakes a thread on the CPU of the one that wakes it and leaves it there for milliseconds, beside an idle CPU.
void leave_cpu(int cpu) {
#if defined(__linux__)
  cpu_set_t all, others;
  if (cpu < 0 || cpu >= CPU_SETSIZE || ::sched_getaffinity(0, sizeof all, &all) != 0) return;
  others = all;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || ::sched_setaffinity(0, sizeof others, &others) != 0) return;
  ::sched_setaffinity(0, sizeof all, &all);
#else
  (void)cpu;
#endif
}

// In a forked child no other thread lives, so nobody is busy.
void after_fork() {
  process.fetch_add(1);
  callers = 0;
  threads_in_use = 0;
}

void watch_forks() {
#ifdef BITWRIGHT_HAS_FORK
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork);
  (void)registered;
#endif
}

}  // namespace

struct alignas(64) Pool::Seat {
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<bool> asleep{false};
};

thread_local unsigned Pool::most_ = UINT_MAX;

Pool::Pool(unsigned threads) : threads_(std::max(threads, 1u)), cpus_(available_cpus()) {
  watch_forks();
  process_ = process.load();
  if (threads > 1) seats_ = std::make_unique<Seat[]>(threads);
  try {
    for (unsigned i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
  } catch (const std::exception& error) {
    stop();
    fail(Status::kMemory, "cannot start ", threads - 1, " threads: ", error.what());
  }
}

Pool::~Pool() {
  if (process.load() != process_) {
    // A forked child: the threads do not exist here; their handles must be neither joined nor destroyed.
    new std::vector<std::thread>(std::move(workers_));
    (void)seats_.release();
    return;
  }
  stop();
}

void Pool::stop() {
  stop_ = true;
  for (size_t i = 1; i <= workers_.size(); ++i) {
    { std::lock_guard<std::mutex> lock(seats_[i].mutex); }
    seats_[i].wake.notify_one();
  }
  for (std::thread& w : workers_) w.join();
}

Pool::Busy::Busy(Pool& pool) : pool_(pool), process_(process.load()) {
  const int before = callers.fetch_add(1);
  threads_in_use += static_cast<int>(pool.threads());
  ++pool.busy_;
  // Runs that follow one another in two threads leave gaps of microseconds; waking workers in every gap would only disturb the other.
  if (pool.threads_ == 1) {
    if (before > 0) crowded_until.store(now_ns() + kCrowded, std::memory_order_relaxed);
    return;
  }
  const int64_t now = now_ns();
  if (before > 0) crowded_until.store(now + kCrowded, std::memory_order_relaxed);
  pool.crowded_.store(now < crowded_until.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

Pool::Busy::~Busy() {
  if (process_ != process.load()) return;
  --pool_.busy_;
  threads_in_use -= static_cast<int>(pool_.threads());
  --callers;
}

// How many workers a job may have now. Who uses the engine from one thread gets what they asked for.
unsigned Pool::helpers() const {
  const unsigned all = std::min(threads_, most_) - 1;
  const int now = callers.load(std::memory_order_relaxed);
  if (now <= 1 && !crowded_.load(std::memory_order_relaxed)) return all;
  const unsigned share = cpus_ / static_cast<unsigned>(std::max(now, 2));
  return std::min(all, share > 0 ? share - 1 : 0);
}

bool Pool::may_spin(int64_t idle_ns) const {
  const int in_use = threads_in_use.load(std::memory_order_relaxed), cpus = static_cast<int>(cpus_);
  if (busy_.load(std::memory_order_relaxed) > 0) return idle_ns < kSpinBusy && in_use <= cpus;
  return idle_ns < kSpinIdle && in_use == 0 && static_cast<int>(threads()) <= cpus;
}

void Pool::take_items(unsigned thread) {
  for (;;) {
    size_t item = next_.fetch_add(batch_, std::memory_order_relaxed);
    if (item >= items_) return;
    try {
      for (const size_t end = std::min(item + batch_, items_); item < end; ++item) call_(fn_, item, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(items_, std::memory_order_relaxed);
    }
  }
}

// A worker joins a job by counting itself in `entered_` and then looking whether the job is still open. The caller closes the job and waits until
// nobody is inside before it touches the job's fields again. So the caller never waits for a worker that has not woken yet.
void Pool::run_erased(size_t items, size_t batch, void* fn, Call call, bool share) {
  if (!share || process.load(std::memory_order_relaxed) != process_ || owned_.test_and_set(std::memory_order_acquire)) {
    for (size_t i = 0; i < items; ++i) call(fn, i, 0);
    return;
  }
  const struct Release {
    std::atomic_flag& flag;
    ~Release() { flag.clear(std::memory_order_release); }
  } release{owned_};
  const auto wanted = static_cast<unsigned>(std::min<size_t>(helpers(), items - 1));
  fn_ = fn;
  call_ = call;
  items_ = items;
  batch_ = batch;
  wanted_.store(wanted, std::memory_order_relaxed);
  next_.store(0, std::memory_order_relaxed);
  job_.fetch_add(1);
  unsigned woken = 0;  // the last of them
  for (unsigned i = 1; i <= wanted; ++i) {
    if (!seats_[i].asleep.load()) continue;
    if (woken == 0) caller_cpu_.store(this_cpu(), std::memory_order_relaxed);
    woken = i;
    { std::lock_guard<std::mutex> lock(seats_[i].mutex); }
    seats_[i].wake.notify_one();
  }
  take_items(0);
  job_.fetch_add(1);
  // Still not up: it may be waiting for this very CPU.
  if (woken != 0 && seats_[woken].asleep.load()) std::this_thread::yield();
  for (int spins = 0; entered_.load() != 0; ++spins) {
    if (spins < kSpinsAtEnd)
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

// Returns an open job that is not `seen` and wants this worker, or anything once the pool stops.
uint64_t Pool::wait_for_job(unsigned index, uint64_t seen) {
  uint64_t job = 0;
  const auto ready = [&] {
    job = job_.load();
    return stop_.load() || ((job & 1) != 0 && job != seen && index <= wanted_.load(std::memory_order_relaxed));
  };
  int64_t start = 0;
  for (int spins = 0; !ready(); ++spins) {
    if (spins % kSpinsPerLook != 0) {
      pause();
      continue;
    }
    const int64_t now = now_ns();
    if (start == 0) start = now;
    if (may_spin(now - start)) continue;
    Seat& seat = seats_[index];
    std::unique_lock<std::mutex> lock(seat.mutex);
    seat.asleep = true;
    seat.wake.wait(lock, ready);
    seat.asleep = false;
    lock.unlock();
    if (cpus_ > 1 && this_cpu() == caller_cpu_.load(std::memory_order_relaxed)) leave_cpu(this_cpu());
    break;
  }
  return job;
}

void Pool::worker(unsigned index) {
  for (uint64_t seen = 0;;) {
    seen = wait_for_job(index, seen);
    if (stop_.load()) return;
    entered_.fetch_add(1);
    if (job_.load() == seen) take_items(index);
    entered_.fetch_sub(1);
  }
}

}  // namespace bitwright
