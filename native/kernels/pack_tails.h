// Tails of fewer than 32 channels, copied into whole blocks. Included by one translation unit per instruction set without masked loads, inside namespace
// bitwright and an unnamed namespace, after it has defined Threshold, PerChannel and ge32.

template <class T>
struct Block {
  alignas(32) T x[32] = {};
  BITWRIGHT_INLINE Block(const T* from, uint32_t n) { std::memcpy(x, from, n * sizeof(T)); }
};
template <class T>
BITWRIGHT_INLINE uint32_t ge_tail(const T* x, const Threshold<T>& t, uint32_t n) {
  return ge32(Block<T>(x, n).x, t) & ((1u << n) - 1u);
}
template <class T>
BITWRIGHT_INLINE uint32_t ge_tail(const T* x, const T* t, uint32_t n) {
  const Block<T> thresholds(t, n);
  return ge32(Block<T>(x, n).x, PerChannel<T>{thresholds.x}) & ((1u << n) - 1u);
}
