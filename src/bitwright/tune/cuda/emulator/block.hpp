// A thread block on the host: its threads are coroutines of one OS thread.
//
// A warp runs until all its lanes wait for something that another warp must do; then the next warp runs. The order of
// the warps comes from a seed, so one warp may run as far ahead of the others as the barriers allow: what real hardware
// does at its worst. A pass over all warps without progress is a deadlock, reported with what the threads wait for.
#pragma once
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ucontext.h>

namespace emu {

constexpr int kLanes = 32;
constexpr int kGroup = 128;  // threads of a warpgroup
constexpr std::size_t kStack = 128 << 10;

struct Meeting {  // of threads that must all arrive: a warp, a warpgroup, the block
  int size = 0, arrived = 0;
  std::uint64_t generation = 0;
  const char* what = nullptr;
  std::vector<void*> operands;
};

struct Thread {
  ucontext_t start;
  std::jmp_buf here;
  std::unique_ptr<char[]> stack;
  bool started = false, done = false;
  const std::uint64_t* watched = nullptr;  // waits until *watched differs from `seen`
  std::uint64_t seen = 0;
};

class Block {
 public:
  Block(int threads, unsigned seed) : threads_(threads), seed_(seed), all_(threads), warps_((threads + 31) / 32), groups_((threads + 127) / 128) {
    setup(block_, threads);
    for (int i = 0; i < int(warps_.size()); ++i) setup(warps_[i], std::min(kLanes, threads - i * kLanes));
    for (int i = 0; i < int(groups_.size()); ++i) setup(groups_[i], std::min(kGroup, threads - i * kGroup));
  }

  int tid = 0;
  std::string error;

  // Runs `body` in every thread. False after an error.
  bool run(void (*body)(void*), void* argument) {
    body_ = body, argument_ = argument;
    std::mt19937 random(seed_);
    std::vector<int> order(warps_.size());
    for (int i = 0; i < int(order.size()); ++i) order[i] = i;
    if (seed_ == 1) std::reverse(order.begin(), order.end());
    int left = threads_;
    while (left > 0 && error.empty()) {
      bool progress = false;
      if (seed_ > 1) std::shuffle(order.begin(), order.end(), random);
      for (int warp : order) progress |= run_warp(warp, left);
      if (!progress && left > 0 && error.empty()) fail(deadlock());
    }
    return error.empty();
  }

  [[noreturn]] void fail_thread(const std::string& text) {
    fail(text);
    finish();
  }

  void fail(const std::string& text) {
    if (error.empty()) error = text;
  }

  // All threads of `where` arrive with an operand; the last one runs `act(operands)`.
  template <class Act>
  void meet(Meeting& where, int place, const char* what, void* operand, Act act) {
    if (where.arrived == 0)
      where.what = what;
    else if (std::strcmp(where.what, what) != 0)
      fail_thread("threads that must run together diverged: one runs " + std::string(where.what) + ", thread " + std::to_string(tid) + " runs " + what);
    where.operands[place] = operand;
    if (++where.arrived == where.size) {
      where.arrived = 0;
      act(where.operands);
      ++where.generation;
      return;
    }
    wait(where.generation);
  }

  Meeting& block() { return block_; }
  Meeting& warp() { return warps_[tid / kLanes]; }
  Meeting& group() { return groups_[tid / kGroup]; }
  int lane() const { return tid % kLanes; }

 private:
  static void setup(Meeting& m, int size) { m.size = size, m.operands.resize(size); }

  void wait(const std::uint64_t& generation) {
    Thread& me = all_[tid];
    me.watched = &generation, me.seen = generation;
    if (_setjmp(me.here) == 0) _longjmp(scheduler_, 1);
    if (!error.empty()) finish();
  }

  [[noreturn]] void finish() {
    all_[tid].done = true;
    _longjmp(scheduler_, 2);
  }

  static void enter() {
    Block* self = current();
    self->body_(self->argument_);
    self->finish();
  }

  bool run_warp(int warp, int& left) {
    bool any = false;
    for (bool again = true; again && error.empty();) {
      again = false;
      for (int t = warp * kLanes; t < std::min(threads_, (warp + 1) * kLanes) && error.empty(); ++t) {
        Thread& thread = all_[t];
        if (thread.done || (thread.watched && *thread.watched == thread.seen)) continue;
        thread.watched = nullptr;
        resume(t);
        any = again = true;
        if (thread.done) --left;
      }
    }
    return any;
  }

  void resume(int t) {
    tid = t;
    Thread& thread = all_[t];
    current() = this;
    if (_setjmp(scheduler_) != 0) return;
    if (thread.started) _longjmp(thread.here, 1);
    thread.started = true;
    thread.stack.reset(new char[kStack]);
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = thread.stack.get();
    thread.start.uc_stack.ss_size = kStack;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, reinterpret_cast<void (*)()>(enter), 0);
    setcontext(&thread.start);
  }

  static Block*& current() {
    static Block* block = nullptr;
    return block;
  }

  std::string deadlock() const {
    std::string text = "deadlock:";
    if (block_.arrived) text += " " + std::to_string(block_.arrived) + " of " + std::to_string(block_.size) + " threads wait in " + block_.what + ";";
    for (int w = 0; w < int(warps_.size()); ++w)
      if (warps_[w].arrived) text += " warp " + std::to_string(w) + ": " + std::to_string(warps_[w].arrived) + " lanes wait in " + warps_[w].what + ";";
    return text + " the others ended or wait elsewhere";
  }

  int threads_;
  unsigned seed_;
  std::vector<Thread> all_;
  std::vector<Meeting> warps_, groups_;
  Meeting block_;
  std::jmp_buf scheduler_;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace emu
