// Rows of packed weights as numbers: of an embedding (rows by id, times their scale), or whole weights in torch's layout.
// Costs: the output is written once, neighbours by neighbouring lanes; the bits are a thirty-second of it.
#pragma once
#include "platform.cuh"

struct Unpack {
  const bw::u32* w;       // entries x taps x words
  const bw::i64* ids;     // of the rows, or null: row i is entry i
  const float* scale;     // one an entry, one for all (per_row 0), or null: 1
  float* out;             // rows x channels x taps
  bw::i64 count, entries;  // count: rows * channels * taps
  int channels, taps, words, per_row;
};

BW_KERNEL(unpack, Unpack) {
  using namespace bw;
  int each = p.channels * p.taps;
  for (i64 i = i64(block_x()) * BW_THREADS + thread_id(); i < p.count; i += i64(grid_x()) * BW_THREADS) {
    i64 row = i / each;
    int inside = int(i - row * each), channel = inside / p.taps, tap = inside - channel * p.taps;
    if (p.ids != nullptr) row = load(p.ids + row);
    if (row < 0 || row >= p.entries) stop();
    u32 word = load(p.w + (row * p.taps + tap) * p.words + channel / 32);
    float sign = (word >> (channel % 32)) & 1 ? 1.f : -1.f;
    store(p.out + i, p.scale == nullptr ? sign : mul(sign, load(p.scale + (p.per_row ? row : 0))));
  }
}
