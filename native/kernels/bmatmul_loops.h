// What products of bits need around the count kernels, as loops that the compiler turns into vectors. Included by one translation unit per
// instruction set, inside an unnamed namespace, after it has defined kWhole, the columns of a panel of its count kernels.

// out[i][j] = to(i, j, count). A whole panel's columns are a number that the compiler knows: vectors without a check or a remainder.
template <class Count, class Out, class To>
BITWRIGHT_INLINE void finish_rows(const ProductTile& t, const To& to) {
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
  if (column != nullptr && slope == 1 && t.half)
    finish_rows<Count, Out>(t, [=](int32_t origin, uint32_t j, int32_t count) { return (origin + column[j] - count) >> 1; });
  else if (column != nullptr)
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
