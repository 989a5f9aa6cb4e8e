// Pooling of the SIMD instruction sets: a window's elements pass through accumulators in registers, 4 vectors of channels at a time. Included by one
// translation unit per instruction set, inside namespace bitwright and an unnamed namespace, after it has defined one struct for each function of
// PoolKernel: MaxF32, MeanF32, MaxI16, MaxI16Float, MeanI16, MaxU8, MeanU8, with
//
//   Element, Out, V, kLanes                  of the map, of the result, the accumulator and its elements
//   load(const Element*), join(V, V)         join(what is there, the next element): the order matters for NaN
//   store(Out*, V, const PoolFinish&)
//   one(const Element*), join(S, S), store(Out*, S, const PoolFinish&)  the same for one channel
//
// Cost: one load and one to three operations for kLanes elements of a window. The rest of the channels is the last whole vector once more, or, where
// there is none, channel by channel.

template <class Op, int N>
BITWRIGHT_INLINE void pool_block(typename Op::Out* out, const typename Op::Element* x, const PoolWindows& w, const PoolFinish& finish) {
  typename Op::V acc[N];
  BITWRIGHT_UNROLL for (int v = 0; v < N; ++v) acc[v] = Op::load(x + v * Op::kLanes);
  for (uint32_t d = 0; d < w.count[0]; ++d)
    for (uint32_t h = 0; h < w.count[1]; ++h) {
      const typename Op::Element* row = x + d * w.stride[0] + h * w.stride[1];
      for (uint32_t k = d + h == 0 ? 1 : 0; k < w.count[2]; ++k) {
        const typename Op::Element* at = row + k * w.stride[2];
        BITWRIGHT_UNROLL for (int v = 0; v < N; ++v) acc[v] = Op::join(acc[v], Op::load(at + v * Op::kLanes));
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

template <class Op>
void pool(void* to, const PoolWindows& w, const PoolFinish& finish) {
  using Element = typename Op::Element;
  constexpr uint32_t kLanes = Op::kLanes;
  auto* out = static_cast<typename Op::Out*>(to);
  const auto* x = static_cast<const Element*>(w.x);
  for (uint32_t i = 0; i < w.windows; ++i, x += w.next, out += w.channels) {
    uint32_t c = 0;
    for (; c + 4 * kLanes <= w.channels; c += 4 * kLanes) pool_block<Op, 4>(out + c, x + c, w, finish);
    for (; c + kLanes <= w.channels; c += kLanes) pool_block<Op, 1>(out + c, x + c, w, finish);
    if (c == w.channels) continue;
    if (w.channels >= kLanes)
      pool_block<Op, 1>(out + w.channels - kLanes, x + w.channels - kLanes, w, finish);
    else
      for (; c < w.channels; ++c) pool_channel<Op>(out + c, x + c, w, finish);
  }
}
