// Transposed bits, as loops that the compiler turns into vectors. Included by one translation unit per instruction set, inside an unnamed namespace.

// 32 rows x kLanes words at a time: five rounds of exchanging halves, all lanes at once.
void transpose(uint32_t* to, size_t to_stride, const uint32_t* from, size_t from_stride, size_t rows, size_t columns) {
  constexpr size_t kLanes = 16;
  const size_t words = (columns + 31) / 32;
  for (size_t r = 0; r < rows; r += 32)
    for (size_t w = 0; w < words; w += kLanes) {
      alignas(64) uint32_t a[32][kLanes];
      const size_t height = rows - r < 32 ? rows - r : 32, width = words - w < kLanes ? words - w : kLanes;
      for (size_t k = 0; k < 32; ++k) {
        const uint32_t* row = from + (r + k) * from_stride + w;
        for (size_t l = 0; l < kLanes; ++l) a[k][l] = k < height && l < width ? row[l] : 0;
      }
      uint32_t mask = 0x0000ffffu;
      for (size_t j = 16; j != 0; j /= 2, mask ^= mask << j)
        for (size_t k = 0; k < 32; k = (k + j + 1) & ~j)
          for (size_t l = 0; l < kLanes; ++l) {
            const uint32_t swap = ((a[k][l] >> j) ^ a[k + j][l]) & mask;
            a[k + j][l] ^= swap;
            a[k][l] ^= swap << j;
          }
      for (size_t l = 0; l < width; ++l)
        for (size_t b = 0; b < 32 && (w + l) * 32 + b < columns; ++b) to[((w + l) * 32 + b) * to_stride + r / 32] = a[b][l];
    }
}
