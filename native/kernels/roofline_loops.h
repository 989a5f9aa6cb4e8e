// Loops of arithmetic: what those of the vector instruction sets have in common. They need GNU assembly: without it (MSVC) only the portable loops
// exist.
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
