// Memory of the emulated block: global buffers with bounds, shared memory with a race detector, asynchronous copies.
//
// Shared memory is tracked by 4-byte words. Between two barriers of the block a word may be written by one thread and
// read by it, or read by many; anything else is a race and ends the run. A cp.async owns its words from its issue to the
// wait that completes it, and the bytes arrive at one of the two ends, as the run asks: a kernel that reads too early,
// or overwrites too early, fails in any schedule. A wgmma reads its words from its issue to its wait.
#pragma once
#include "block.hpp"

#include <cmath>
#include <functional>

namespace emu {

struct Range {
  std::uintptr_t low, high;
  bool writable;
};

struct Stats {
  std::int64_t mma = 0, wgmma = 0, ldmatrix = 0, bank_conflicts = 0, copies = 0, global_loads = 0, global_stores = 0, barriers = 0;
};

struct Copy {
  char* to;
  const void* from;  // null: zeros
};

struct Word {
  std::uint32_t write_epoch = 0, read_epoch = 0;
  std::int16_t writer = -1, reader = -1;
  std::uint8_t pending = 0;  // a cp.async to it is under way
  std::uint8_t wgmma = 0;    // wgmmas under way that read it
};

struct Span {
  std::uint32_t first, count;
};

struct AsyncGroups {  // of one thread (cp.async) or one warpgroup (wgmma)
  std::vector<std::vector<Copy>> copies;
  std::vector<Copy> open;
};

struct Wgmmas {
  std::vector<std::vector<Span>> groups;
  std::vector<Span> open;
  std::vector<std::function<void()>> late, open_late;
};

class Machine {
 public:
  Machine(int threads, std::size_t shared_bytes, unsigned seed, bool late_copies)
      : block(threads, seed), late(late_copies), shared_bytes_(shared_bytes), words_(shared_bytes / 4 + 1), groups_(threads), wgmmas((threads + 127) / 128), unfenced_(threads) {
    storage_.reset(new char[shared_bytes + 1024]);
    shared = reinterpret_cast<char*>((reinterpret_cast<std::uintptr_t>(storage_.get()) + 1023) & ~std::uintptr_t(1023));
    std::mt19937 random(seed + 77);
    for (std::size_t i = 0; i < shared_bytes; ++i) shared[i] = char(random());
  }

  Block block;
  bool late;
  char* shared = nullptr;
  Stats stats;
  std::vector<Range> buffers;
  int grid[3] = {1, 1, 1}, at[3] = {0, 0, 0};

  // ---- global memory
  void check_global(const void* p, std::size_t bytes, bool write) {
    auto at_ = reinterpret_cast<std::uintptr_t>(p);
    if (at_ % bytes) block.fail_thread(std::to_string(bytes) + "-byte access to global memory is not aligned");
    for (const Range& r : buffers)
      if (at_ >= r.low && at_ + bytes <= r.high && (r.writable || !write)) return;
    block.fail_thread(std::string(write ? "store" : "load") + " outside of every buffer, thread " + std::to_string(block.tid) + " of block (" + std::to_string(at[0]) + "," + std::to_string(at[1]) + "," + std::to_string(at[2]) + ")");
  }

  // ---- shared memory
  Span words(const void* p, std::size_t bytes, const char* what) {
    auto offset = static_cast<const char*>(p) - shared;
    if (offset < 0 || offset + std::ptrdiff_t(bytes) > std::ptrdiff_t(shared_bytes_)) block.fail_thread(std::string(what) + " outside of shared memory");
    if (offset % bytes) block.fail_thread(std::string(what) + " in shared memory is not aligned");
    return {std::uint32_t(offset / 4), std::uint32_t((bytes + 3) / 4)};
  }

  void note_read(const void* p, std::size_t bytes) {
    Span s = words(p, bytes, "load");
    for (auto i = s.first; i < s.first + s.count; ++i) {
      Word& w = words_[i];
      if (w.pending) race(i, "read before the wait for the copy to it");
      if (w.write_epoch == epoch_ && w.writer != block.tid) race(i, "read and written by two threads without a barrier between");
      if (w.read_epoch != epoch_) w.read_epoch = epoch_, w.reader = std::int16_t(block.tid);
      else if (w.reader != block.tid) w.reader = kMany;
    }
  }

  void note_write(const void* p, std::size_t bytes, bool asynchronous = false) {
    Span s = words(p, bytes, "store");
    for (auto i = s.first; i < s.first + s.count; ++i) {
      Word& w = words_[i];
      if (w.pending) race(i, "written while a copy to it is under way");
      if (w.wgmma) race(i, "written while a wgmma reads it");
      if (w.write_epoch == epoch_ && w.writer != block.tid) race(i, "written by two threads without a barrier between");
      if (w.read_epoch == epoch_ && w.reader != block.tid) race(i, "written and read by two threads without a barrier between");
      if (asynchronous) w.pending = 1;
      w.write_epoch = epoch_, w.writer = std::int16_t(block.tid);
    }
    if (!asynchronous) unfenced_[block.tid] = 1;
  }

  void barrier() {
    block.meet(block.block(), block.tid, "a barrier of the block", nullptr, [this](auto&) { ++epoch_, ++stats.barriers; });
  }

  // ---- cp.async
  void copy16(void* to, const void* from) {
    if (from) check_global(from, 16, false);
    note_write(to, 16, true);
    ++stats.copies;
    groups_[block.tid].open.push_back({static_cast<char*>(to), from});
    if (!late) move(groups_[block.tid].open.back());
  }
  void commit() {
    AsyncGroups& g = groups_[block.tid];
    g.copies.push_back(std::move(g.open));
    g.open.clear();
  }
  void wait(std::size_t newest) {
    AsyncGroups& g = groups_[block.tid];
    while (g.copies.size() > newest) {
      for (const Copy& c : g.copies.front()) {
        if (late) move(c);
        Span s = words(c.to, 16, "copy");
        for (auto i = s.first; i < s.first + s.count; ++i) words_[i].pending = 0, words_[i].write_epoch = epoch_, words_[i].writer = std::int16_t(block.tid);
      }
      if (!g.copies.front().empty()) unfenced_[block.tid] = 1;
      g.copies.erase(g.copies.begin());
    }
  }
  void fence_proxy() { unfenced_[block.tid] = 0; }

  // ---- wgmma reads
  void wgmma_reads(int group, std::uint32_t byte, std::uint32_t bytes) {
    for (std::size_t t = 0; t < unfenced_.size(); ++t)
      if (unfenced_[t]) block.fail_thread("wgmma reads shared memory that thread " + std::to_string(t) + " wrote without fence.proxy.async");
    if (byte % 16 || byte + bytes > shared_bytes_) block.fail_thread("a wgmma descriptor leaves shared memory");
    Span s{byte / 4, bytes / 4};
    for (auto i = s.first; i < s.first + s.count; ++i) {
      Word& w = words_[i];
      if (w.pending) race(i, "read by wgmma before the wait for the copy to it");
      if (w.write_epoch == epoch_ && w.writer / kGroup != group) race(i, "read by wgmma without a barrier after the write");
      if (w.write_epoch == epoch_) race(i, "read by wgmma without a barrier after the write");
      ++w.wgmma;
    }
    wgmmas[group].open.push_back(s);
  }
  void wgmma_retire(int group, std::size_t newest) {
    Wgmmas& g = wgmmas[group];
    while (g.groups.size() > newest) {
      for (Span s : g.groups.front())
        for (auto i = s.first; i < s.first + s.count; ++i) --words_[i].wgmma, words_[i].read_epoch = epoch_, words_[i].reader = kMany;
      g.groups.erase(g.groups.begin());
    }
  }

  std::size_t shared_bytes() const { return shared_bytes_; }

  // Nothing may be left under way when a block ends.
  void check_end() {
    for (auto& g : groups_)
      if (!g.open.empty() || !g.copies.empty()) {
        bool any = !g.open.empty();
        for (auto& c : g.copies) any |= !c.empty();
        if (any) return block.fail("a thread ended with a cp.async under way");
      }
    for (auto& g : wgmmas)
      if (!g.open.empty() || !g.groups.empty()) return block.fail("a warpgroup ended with a wgmma under way");
  }

 private:
  static constexpr std::int16_t kMany = 0x7fff;

  static void move(const Copy& c) {
    if (c.from) std::memcpy(c.to, c.from, 16);
    else std::memset(c.to, 0, 16);
  }

  [[noreturn]] void race(std::uint32_t word, const char* what) {
    block.fail_thread("race in shared memory at byte " + std::to_string(4 * word) + ", thread " + std::to_string(block.tid) + ": " + what);
  }

  std::size_t shared_bytes_;
  std::unique_ptr<char[]> storage_;
  std::vector<Word> words_;
  std::vector<AsyncGroups> groups_;
  std::uint32_t epoch_ = 1;

 public:
  std::vector<Wgmmas> wgmmas;

 private:
  std::vector<char> unfenced_;
};

inline Machine*& machine() {
  static Machine* m = nullptr;
  return m;
}

}  // namespace emu
