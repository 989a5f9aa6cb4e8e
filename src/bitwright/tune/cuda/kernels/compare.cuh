// How many words of two buffers differ: what proves an output right without copying it to the host.
// Costs: reads both buffers once; a candidate's output is compared once, before its first timing.
#pragma once
#include "platform.cuh"

struct Compare {
  const bw::u32* found;
  const bw::u32* expected;
  int* wrong;  // adds up
  bw::i64 words;
};

BW_KERNEL(compare, Compare) {
  using namespace bw;
  int count = 0;
  for (i64 i = i64(block_x()) * BW_THREADS + thread_id(); i < p.words; i += i64(grid_x()) * BW_THREADS)
    count += load(p.found + i) != load(p.expected + i);
  if (count != 0) atomic_add(p.wrong, count);
}
