// A binarizer that stands alone: 1 where x >= threshold, else `low` (NaN: low).
// Costs: memory; x is read and the output written once.
#pragma once
#include "platform.cuh"

struct Binarize {
  const float* x;
  const float* threshold;  // `channels` of them, or one
  float* out;
  bw::i64 count, inner;  // inner: elements from one channel to the next
  float low;
  int channels;  // 1: one threshold
};

BW_KERNEL(binarize, Binarize) {
  using namespace bw;
  for (i64 i = i64(block_x()) * BW_THREADS + thread_id(); i < p.count; i += i64(grid_x()) * BW_THREADS) {
    i64 channel = p.channels == 1 ? 0 : i / p.inner % p.channels;
    store(p.out + i, load(p.x + i) >= load(p.threshold + channel) ? 1.f : p.low);
  }
}
