// Pooling of the SIMD instruction sets: a window's elements pass through accumulators in registers, kMostVectors vectors of channels at a time. Included by one
// translation unit per instruction set, inside namespace bitwright and an unnamed namespace, after it has defined kMostVectors (4 or 8) and one struct for
// each function of PoolKernel: MaxF32, MeanF32, MaxI16, MaxI16Float, MeanI16, MaxU8, MeanU8, with
//
//   Element, Out, V, kLanes                  of the map, of the result, the accumulator and its elements
//   load(const Element*), join(V, V)         join(what is there, the next element): the order matters for NaN
//   store(Out*, V, const PoolFinish&)
//   one(const Element*), join(S, S), store(Out*, S, const PoolFinish&)  the same for one channel
//
// Cost: one load and one to three operations for kLanes elements of a window. The rest of the channels is the last whole vector once more, or, where
// there is none, channel by channel.

// H x W: the window's elements if it is flat and they are known, so that the loops over them are unrolled; else 0.
template <class Op, int N, uint32_t H, uint32_t W>
BITWRIGHT_INLINE void pool_block(typename Op::Out* out, const typename Op::Element* x, const PoolWindows& w, const PoolFinish& finish) {
  typename Op::V acc[N];
  BITWRIGHT_UNROLL for (int v = 0; v < N; ++v) acc[v] = Op::load(x + v * Op::kLanes);
  const auto join = [&](const typename Op::Element* at) {
    BITWRIGHT_UNROLL for (int v = 0; v < N; ++v) acc[v] = Op::join(acc[v], Op::load(at + v * Op::kLanes));
  };
  if constexpr (H != 0) {
    BITWRIGHT_UNROLL for (uint32_t h = 0; h < H; ++h)
      BITWRIGHT_UNROLL for (uint32_t k = h == 0 ? 1 : 0; k < W; ++k) join(x + h * w.stride[1] + k * w.stride[2]);
  } else {
    for (uint32_t d = 0; d < w.count[0]; ++d)
      for (uint32_t h = 0; h < w.count[1]; ++h) {
        const typename Op::Element* row = x + d * w.stride[0] + h * w.stride[1];
        for (uint32_t k = d + h == 0 ? 1 : 0; k < w.count[2]; ++k) join(row + k * w.stride[2]);
      }
  }
  BITWRIGHT_UNROLL for (int v = 0; v < N; ++v) Op::store(out + v * Op::kLanes, acc[v], finish);
}

template <class Op>
BITWRIGHT_NOINLINE void pool_channel(typename Op::Out* out, const typename Op::Element* x, const PoolWindows& w, const PoolFinish& finish) {
  auto acc = Op::one(x);
  for (uint32_t d = 0; d < w.count[0]; ++d)
    for (uint32_t h = 0; h < w.count[1]; ++h)
      for (uint32_t k = d + h == 0 ? 1 : 0; k < w.count[2]; ++k) acc = Op::join(acc, Op::one(x + d * w.stride[0] + h * w.stride[1] + k * w.stride[2]));
  Op::store(out, acc, finish);
}

template <class Op, uint32_t H, uint32_t W>
void pool_windows(typename Op::Out* out, const PoolWindows& w, const PoolFinish& finish) {
  constexpr uint32_t kLanes = Op::kLanes;
  const auto* x = static_cast<const typename Op::Element*>(w.x);
  for (uint32_t i = 0; i < w.windows; ++i, x += w.next, out += w.channels) {
    uint32_t c = 0;
    if constexpr (kMostVectors == 8)
      for (; c + 8 * kLanes <= w.channels; c += 8 * kLanes) pool_block<Op, 8, H, W>(out + c, x + c, w, finish);
    for (; c + 4 * kLanes <= w.channels; c += 4 * kLanes) pool_block<Op, 4, H, W>(out + c, x + c, w, finish);
    if (c + 2 * kLanes <= w.channels) {
      pool_block<Op, 2, H, W>(out + c, x + c, w, finish);
      c += 2 * kLanes;
    }
    if (c + kLanes <= w.channels) {
      pool_block<Op, 1, H, W>(out + c, x + c, w, finish);
      c += kLanes;
    }
    if (c == w.channels) continue;
    if (w.channels >= kLanes)
      pool_block<Op, 1, H, W>(out + w.channels - kLanes, x + w.channels - kLanes, w, finish);
    else
      for (; c < w.channels; ++c) pool_channel<Op>(out + c, x + c, w, finish);
  }
}

template <class Op>
void pool(void* to, const PoolWindows& w, const PoolFinish& finish) {
  auto* out = static_cast<typename Op::Out*>(to);
  if (w.count[0] == 1 && w.count[1] == 3 && w.count[2] == 3)
    pool_windows<Op, 3, 3>(out, w, finish);
  else if (w.count[0] == 1 && w.count[1] == 2 && w.count[2] == 2)
    pool_windows<Op, 2, 2>(out, w, finish);
  else
    pool_windows<Op, 0, 0>(out, w, finish);
}
