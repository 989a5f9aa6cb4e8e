// Loops of memory. The file that includes it, behind roofline_loops.h, defines V, a vector; kVectorBytes; load, store (of V at any address); either.
#include <cstddef>
#include <cstdint>

void read(uint64_t iterations, void* buffer, size_t bytes) {
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

void write(uint64_t iterations, void* buffer, size_t bytes) {
  auto* data = static_cast<uint8_t*>(buffer);
  V value = load(data);
  for (uint64_t i = 0; i < iterations; ++i) {
    BITWRIGHT_OPAQUE(value);
    for (size_t k = 0; k < bytes; k += kVectorBytes) store(data + k, value);
  }
}
