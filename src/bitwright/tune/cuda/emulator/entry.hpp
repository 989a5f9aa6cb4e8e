// How Python calls an emulated kernel: every block of the grid, one after the other.
#pragma once
#include "machine.hpp"

#include <cstdio>

struct EmuBuffer {
  void* data;
  std::int64_t bytes;
  std::int32_t writable, unused;
};

template <class Arguments>
int emu_run(void (*kernel)(const Arguments&), const Arguments& arguments, const int* grid, int threads, std::int64_t shared_bytes,
            const EmuBuffer* buffers, int buffer_count, unsigned seed, int late, std::int64_t* stats, char* error, int error_bytes) {
  std::vector<emu::Range> ranges;
  for (int i = 0; i < buffer_count; ++i) {
    auto low = reinterpret_cast<std::uintptr_t>(buffers[i].data);
    ranges.push_back({low, low + std::uintptr_t(buffers[i].bytes), buffers[i].writable != 0});
  }
  emu::Stats total;
  int blocks = grid[0] * grid[1] * grid[2];
  std::vector<int> order(blocks);
  for (int i = 0; i < blocks; ++i) order[i] = i;
  std::mt19937 random(seed);
  if (seed) std::shuffle(order.begin(), order.end(), random);
  for (int index : order) {
    emu::Machine machine(threads, std::size_t(shared_bytes), seed, late != 0);
    machine.buffers = ranges;
    for (int i = 0; i < 3; ++i) machine.grid[i] = grid[i];
    machine.at[0] = index % grid[0], machine.at[1] = index / grid[0] % grid[1], machine.at[2] = index / (grid[0] * grid[1]);
    machine.stats = total;
    emu::machine() = &machine;
    struct Call { void (*kernel)(const Arguments&); const Arguments* arguments; } call{kernel, &arguments};
    bool fine = machine.block.run([](void* c) { static_cast<Call*>(c)->kernel(*static_cast<Call*>(c)->arguments); }, &call);
    if (fine) machine.check_end();
    total = machine.stats;
    emu::machine() = nullptr;
    if (!machine.block.error.empty()) {
      std::snprintf(error, std::size_t(error_bytes), "%s", machine.block.error.c_str());
      return 1;
    }
  }
  const std::int64_t found[] = {total.mma, total.wgmma, total.ldmatrix, total.bank_conflicts, total.copies, total.global_loads, total.global_stores, total.barriers};
  for (int i = 0; i < 8; ++i) stats[i] = found[i];
  return 0;
}

#define BW_ENTRY(kernel, Arguments)                                                                                                     \
  extern "C" int run_##kernel(const Arguments* arguments, const int* grid, int threads, std::int64_t shared_bytes, const EmuBuffer* buffers, \
                              int count, unsigned seed, int late, std::int64_t* stats, char* error, int error_bytes) {                  \
    return emu_run<Arguments>(kernel, *arguments, grid, threads, shared_bytes, buffers, count, seed, late, stats, error, error_bytes);  \
  }
