// The machine's limits, measured: the clock, arithmetic and memory rates.
#pragma once

#include <cstdint>
#include <vector>

#include "pool.h"
#include "roofline.h"

namespace bitwright {

// GHz of the CPU that the caller runs on, by a chain of dependent additions, one a cycle; the highest of several short measurements, some 100 us in
// all. 0 where the chain cannot be written (no x86-64, no AArch64).
double measure_clock();

struct MachineRate {
  const RooflineLoop* loop = nullptr;
  double per_ns = 0;  // MACs or bytes, of all threads of the pool together
};

// The loops' rates, in their order. Memory is read and written with a footprint of about `bytes`, cut among the threads: the rate is that of the
// cache that holds so much, or of the memory. About 2 ms a loop.
std::vector<MachineRate> measure_machine(Pool& pool, uint64_t bytes, const std::vector<const RooflineLoop*>& loops);

}  // namespace bitwright
