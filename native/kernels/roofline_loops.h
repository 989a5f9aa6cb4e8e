// What the loops of the vector instruction sets have in common. The file that includes it defines V, a vector; kVectorBytes; load, store (of V at
// any address); either. They need GNU assembly: without it (MSVC) only the portable loops exist.
#include <cstddef>
#include <cstdint>

// Keeps the compiler from seeing that a loop does the same again and again.
#if BITWRIGHT_X86
#define BITWRIGHT_OPAQUE(v) __asm__ volatile("" : "+v"(v))
#else
#define BITWRIGHT_OPAQUE(v) __asm__ volatile("" : "+w"(v))
#endif

// N independent chains: step(sum of the chain, operand, number of the chain), again and again.
template <int N, class Sum, class Operand, class Step>
BITWRIGHT_INLINE void chains(uint64_t iterations, Sum start, Operand operand, const Step& step) {
  Sum sums[N];
  BITWRIGHT_UNROLL for (int j = 0; j < N; ++j) {
    sums[j] = start;
    BITWRIGHT_OPAQUE(sums[j]);
  }
  for (uint64_t i = 0; i < iterations; ++i) {
    BITWRIGHT_OPAQUE(operand);
    BITWRIGHT_UNROLL for (int j = 0; j < N; ++j) step(sums[j], operand, j);
  }
  BITWRIGHT_UNROLL for (int j = 0; j < N; ++j) BITWRIGHT_OPAQUE(sums[j]);
}

// Only one file of an architecture's widest instructions has these two in its list.
[[maybe_unused]] void read(uint64_t iterations, void* buffer, size_t bytes) {
  const auto* data = static_cast<const uint8_t*>(buffer);
  V sum = load(data);
  for (uint64_t i = 0; i < iterations; ++i) {
    V parts[8];
    BITWRIGHT_UNROLL for (int j = 0; j < 8; ++j) parts[j] = sum;
    for (size_t k = 0; k < bytes; k += 8 * kVectorBytes)
      BITWRIGHT_UNROLL for (int j = 0; j < 8; ++j) parts[j] = either(parts[j], load(data + k + static_cast<size_t>(j) * kVectorBytes));
    BITWRIGHT_UNROLL for (int j = 0; j < 8; ++j) sum = either(sum, parts[j]);
    BITWRIGHT_OPAQUE(sum);
  }
}

[[maybe_unused]] void write(uint64_t iterations, void* buffer, size_t bytes) {
  auto* data = static_cast<uint8_t*>(buffer);
  V value = load(data);
  for (uint64_t i = 0; i < iterations; ++i) {
    BITWRIGHT_OPAQUE(value);
    for (size_t k = 0; k < bytes; k += kVectorBytes) store(data + k, value);
  }
}
