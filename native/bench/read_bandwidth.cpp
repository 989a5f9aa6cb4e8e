#include "read_bandwidth.h"

namespace {

// Eight independent sums of 64-byte vectors; the compiler cuts them to what the target has.
typedef uint64_t V __attribute__((vector_size(64), aligned(8), may_alias));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

}  // namespace

WIDEST uint64_t read_all(const void* data, size_t bytes) {
  const V* x = static_cast<const V*>(data);
  V a{}, b{}, c{}, d{};
  for (const V* end = x + bytes / 256 * 4; x != end; x += 4) {
    a |= x[0];
    b |= x[1];
    c |= x[2];
    d |= x[3];
  }
  a |= b | c | d;
  uint64_t sum = 0;
  for (int k = 0; k < 8; ++k) sum |= a[k];
  return sum;
}
