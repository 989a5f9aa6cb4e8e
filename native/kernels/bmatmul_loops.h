// What products of bits need around the count kernels, as loops that the compiler turns into vectors. Included by one translation unit per
// instruction set, inside an unnamed namespace.

// out[i][j] = to(i, j, count). A whole panel's columns are a number that the compiler knows: vectors without a check or a remainder.
template <class Count, class Out, class To>
BITWRIGHT_INLINE void finish_rows(const ProductTile& t, const To& to) {
  constexpr uint32_t kWhole = 64;
  const uint32_t n = t.columns;
  for (uint32_t i = 0; i < t.rows; ++i) {
    const Count* __restrict counts = static_cast<const Count*>(t.counts) + i * t.counts_stride;
    Out* __restrict out = static_cast<Out*>(t.out) + i * t.out_stride;
    const int32_t origin = t.constant + (t.row != nullptr ? t.row[i] : 0);
    if (n == kWhole)
      for (uint32_t j = 0; j < kWhole; ++j) out[j] = static_cast<Out>(to(origin, j, static_cast<int32_t>(counts[j])));
    else
      for (uint32_t j = 0; j < n; ++j) out[j] = static_cast<Out>(to(origin, j, static_cast<int32_t>(counts[j])));
  }
}

template <class Count, class Out>
void finish(const ProductTile& t) {
  const int32_t* __restrict column = t.column;
  const int32_t slope = t.slope, shift = t.half ? 1 : 0;
  if (column != nullptr)
    finish_rows<Count, Out>(t, [=](int32_t origin, uint32_t j, int32_t count) { return (origin + column[j] - slope * count) >> shift; });
  else if (slope == 2)
    finish_rows<Count, Out>(t, [](int32_t origin, uint32_t, int32_t count) { return origin - 2 * count; });
  else if (slope == -1)
    finish_rows<Count, Out>(t, [](int32_t origin, uint32_t, int32_t count) { return origin + count; });
  else
    finish_rows<Count, Out>(t, [=](int32_t origin, uint32_t, int32_t count) { return origin - slope * count; });
}

template <class Count>
void add_plane(uint32_t* __restrict sum, const Count* __restrict counts, uint32_t plane, size_t n) {
  if (plane == 0) {
    for (size_t i = 0; i < n; ++i) sum[i] = counts[i];
    return;
  }
  for (size_t i = 0; i < n; ++i) sum[i] += static_cast<uint32_t>(counts[i]) << plane;
}

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
