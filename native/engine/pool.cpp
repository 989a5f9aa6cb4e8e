#include "pool.h"

#include <algorithm>
#include <chrono>
#include <climits>

#include "cpus.h"
#include "error.h"
#include "span.h"
#include "timeline.h"

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
constexpr int64_t kSpinBusy = 300'000, kSpinIdle = 200'000;  // ns
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

struct alignas(128) Pool::Seat {
  std::atomic<uint64_t> done{0};  // cells since the worker began; written by it alone
  alignas(128) std::mutex mutex;
  std::condition_variable wake;
  std::atomic<bool> asleep{false};
};

struct alignas(128) Pool::Lane {
  std::atomic<uint64_t> span{0};
};

thread_local unsigned Pool::most_ = UINT_MAX;

Pool::Pool(unsigned threads) : threads_(std::max(threads, 1u)), cpus_(available_cpus()) {
  watch_forks();
  process_ = process.load();
  if (threads > 1) {
    seats_ = std::make_unique<Seat[]>(threads);
    lanes_ = std::make_unique<Lane[]>(threads);
  }
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
    (void)lanes_.release();
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

uint64_t Pool::done_by_workers() const {
  uint64_t done = 0;
  for (unsigned i = 1; i < threads_; ++i) done += seats_[i].done.load(std::memory_order_acquire);
  return done;
}

// After a failure: cells that nobody has taken yet count as done.
uint64_t Pool::drop_the_rest() {
  uint64_t dropped = 0;
  for (unsigned i = 0; i <= wanted_.load(std::memory_order_relaxed); ++i) {
    std::atomic<uint64_t>& word = lanes_[i].span;
    for (uint64_t known = word.load();;) {
      Span span = Span::unpack(known);
      const uint32_t left = span.size();
      span.end = span.begin;
      if (!word.compare_exchange_weak(known, span.pack())) continue;
      dropped += left;
      break;
    }
  }
  return dropped;
}

uint64_t Pool::do_part(uint32_t begin, uint32_t end, unsigned thread, bool first) {
  uint64_t done = end - begin;
  stamp(Moment::kItem, thread, begin);
  try {
    call_(fn_, {size_t{begin} * scale_, std::min(size_t{end} * scale_, cells_), thread, first});
  } catch (...) {
    {
      std::lock_guard<std::mutex> lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    done += drop_the_rest();
  }
  stamp(Moment::kItemDone, thread, end);
  return done;
}

// `known`: what the thread's own lane held when it last saw it.
uint64_t Pool::take_parts(unsigned thread, uint32_t tag, uint64_t known) {
  const unsigned members = wanted_.load(std::memory_order_relaxed) + 1;
  std::atomic<uint64_t>* const done = thread == 0 ? nullptr : &seats_[thread].done;
  uint64_t sum = 0;
  // Its own lane, its neighbour's (a pair's lie side by side and are worked on towards each other), the others'.
  for (unsigned k = 0; k < members; ++k) {
    const unsigned lane = (thread % 2 == 0 ? thread + k : thread + members - k) % members;
    std::atomic<uint64_t>& word = lanes_[lane].span;
    // A look before it writes, except at its neighbour's: when a job of many threads ends, all look everywhere.
    if (k != 0) known = k == 1 ? 0 : word.load(std::memory_order_acquire);
    for (;;) {
      Span span = Span::unpack(known);
      uint64_t after = known;  // takes none: then this learns what the word is, and brings its cache line to be written
      Span part{tag, 0, 0};
      if (known != 0) {
        if (span.tag != tag || span.size() == 0) break;
        const uint32_t first = first_.load(std::memory_order_relaxed);  // if nobody has taken much of its cells yet
        const uint32_t n = k == 0 && span.size() > first ? first : part_of(span.size(), least_.load(std::memory_order_relaxed), step_.load(std::memory_order_relaxed));
        part = span.take(n, (lane % 2 == 1) == (k == 0));
        after = span.pack();
      }
      if (!word.compare_exchange_strong(known, after, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      if (part.size() == 0) break;  // the word is 0: no cells
      known = after;
      const uint64_t now = do_part(part.begin, part.end, thread, thread != 0 && sum == 0);
      sum += now;
      if (done) done->store(done->load(std::memory_order_relaxed) + now, std::memory_order_release);
    }
  }
  stamp(Moment::kNoMore, thread);
  return sum;
}

// Wakes workers that sleep. A worker may fall asleep unseen just now (there is no fence between the job's number and this look): then the job is done
// without it.
void Pool::wake(unsigned wanted, unsigned& woken) {
  for (unsigned i = 1; i <= wanted; ++i) {
    if (!seats_[i].asleep.load(std::memory_order_acquire)) continue;
    if (woken == 0) caller_cpu_.store(this_cpu(), std::memory_order_relaxed);
    woken = i;
    { std::lock_guard<std::mutex> lock(seats_[i].mutex); }
    seats_[i].wake.notify_one();
  }
}

// A job is over when all cells are done, whoever did them: the caller never waits for a worker that has not woken yet.
void Pool::run_erased(size_t cells, size_t step, uint64_t cycles, void* fn, Call call) {
  if (process.load(std::memory_order_relaxed) != process_ || owned_.test_and_set(std::memory_order_acquire)) return call(fn, {0, cells, 0, true});
  const struct Release {
    std::atomic_flag& flag;
    ~Release() { flag.clear(std::memory_order_release); }
  } release{owned_};
  const auto scale = static_cast<uint32_t>((cells + Span::kMost - 1) / Span::kMost);
  const auto count = static_cast<uint32_t>((cells + scale - 1) / scale), steps = static_cast<uint32_t>(std::max<size_t>(step / scale, 1));
  const auto wanted = static_cast<unsigned>(std::min<size_t>(helpers(), count - 1)), members = wanted + 1;
  const auto least = static_cast<uint32_t>(std::clamp(count * (kLeastCycles / static_cast<double>(cycles)), 1.0, static_cast<double>(count)));
  const uint64_t job = job_.load(std::memory_order_relaxed) + 1;
  const uint32_t tag = Span::tag_of(job);
  fn_ = fn;
  call_ = call;
  cells_ = cells;
  scale_ = scale;
  least_.store(least, std::memory_order_relaxed);
  step_.store(steps, std::memory_order_relaxed);
  wanted_.store(wanted, std::memory_order_relaxed);
  Span first{};
  uint64_t own = 0;
  const auto bound = [&](unsigned thread) {
    const auto at = static_cast<uint32_t>(uint64_t{count} * thread / members);
    return thread == members || count < steps * members ? at : at - at % steps;
  };
  for (unsigned i = 0; i < members; ++i) {
    Span span{tag, bound(i), bound(i + 1)};
    if (i == 0) {
      first = span.take(first_part_of(span.size(), least, steps), false);
      first_.store(first.size(), std::memory_order_relaxed);
      own = span.pack();
    }
    lanes_[i].span.store(span.pack(), std::memory_order_release);
  }
  stamp(Moment::kFork, 0);
  job_.store(job, std::memory_order_release);
  unsigned woken = 0;  // the last of them
  wake(wanted, woken);
  uint64_t done = do_part(first.begin, first.end, 0, true);
  if (woken == 0) wake(wanted, woken);
  done += take_parts(0, tag, own);
  // Still not up: it may be waiting for this very CPU.
  if (woken != 0 && seats_[woken].asleep.load()) std::this_thread::yield();
  done_before_ += count - done;
  if (done != count)
    for (int spins = 0; done_by_workers() != done_before_; ++spins) {
      if (spins < kSpinsAtEnd)
        pause();
      else
        std::this_thread::yield();
    }
  stamp(Moment::kJoined, 0);
  if (failure_) {
    std::exception_ptr failure;
    std::swap(failure, failure_);
    std::rethrow_exception(failure);
  }
}

// Returns a job that is not `seen` and wants this worker, or anything once the pool stops.
uint64_t Pool::wait_for_job(unsigned index, uint64_t seen) {
  uint64_t job = 0;
  const auto ready = [&] {
    job = job_.load();
    return stop_.load() || (job != seen && index <= wanted_.load(std::memory_order_relaxed));
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
    stamp(Moment::kEntered, index);
    take_parts(index, Span::tag_of(seen), 0);
  }
}

}  // namespace bitwright
