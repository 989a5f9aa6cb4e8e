// Pooling of one channel: what every instruction set computes. Included inside namespace bitwright and an unnamed namespace.

template <class E, class O, class S>
struct PoolTypes {
  using Element = E;
  using Out = O;
  using Scalar = S;
  static BITWRIGHT_INLINE S one(const E* x) { return *x; }
};

// A NaN wins and stays.
struct MaxF32Scalar : PoolTypes<float, float, float> {
  static BITWRIGHT_INLINE float join(float acc, float x) { return ((x > acc) | (x != x)) ? x : acc; }
  static BITWRIGHT_INLINE void store(float* out, float x, const PoolFinish&) { *out = x; }
};
struct MeanF32Scalar : PoolTypes<float, float, float> {
  static BITWRIGHT_INLINE float join(float acc, float x) { return acc + x; }
  static BITWRIGHT_INLINE void store(float* out, float x, const PoolFinish& f) { *out = x / f.divisor; }
};
struct MaxI16Scalar : PoolTypes<int16_t, int16_t, int16_t> {
  static BITWRIGHT_INLINE int16_t join(int16_t acc, int16_t x) { return x > acc ? x : acc; }
  static BITWRIGHT_INLINE void store(int16_t* out, int16_t x, const PoolFinish&) { *out = x; }
};
// Integers to the numbers that they stand for.
template <class E>
struct MaxScaledScalar : PoolTypes<E, float, E> {
  static BITWRIGHT_INLINE E join(E acc, E x) { return x > acc ? x : acc; }
  static BITWRIGHT_INLINE void store(float* out, E x, const PoolFinish& f) { *out = static_cast<float>(x - f.zero) * f.scale; }
};
template <class E>
struct MeanScaledScalar : PoolTypes<E, float, int32_t> {
  static BITWRIGHT_INLINE int32_t one(const E* x) { return *x; }
  static BITWRIGHT_INLINE int32_t join(int32_t acc, int32_t x) { return acc + x; }
  static BITWRIGHT_INLINE void store(float* out, int32_t x, const PoolFinish& f) { *out = static_cast<float>(x - f.zero) * f.scale / f.divisor; }
};
