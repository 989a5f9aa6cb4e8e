// Minimal filtering of the SIMD instruction sets. Included by one translation unit per instruction set, inside namespace bitwright and an unnamed
// namespace, after it has defined the vector F of kLanes floats, load (unaligned), load_first(p, n) (n < kLanes floats, the other lanes 0, nothing
// past them read), store (unaligned), set, zero, add, sub, mul, fma, transpose(F (&)[kLanes]), kVectors (of a panel), kTiles, and either next(p) (loads
// weights), broadcast and add_product(acc, w, x), or BITWRIGHT_OWN_PRODUCT and product.

constexpr uint32_t kPanel = kVectors * kLanes;
constexpr uint32_t kMaxRowPoints = kMinimalRows + kMinimalTaps - 1, kMaxColumnPoints = kMinimalColumns + kMinimalTaps - 1;

// acc + sum over k >= K of row[k] * x[k], with constants that the compiler sees: no operation where a coefficient is 0, an addition where it is ±1.
template <class Row, int K, bool kBegun, int N>
BITWRIGHT_INLINE F combine(F acc, const F (&x)[N]) {
  if constexpr (K == N) {
    return acc;
  } else {
    constexpr double c = Row::at(K);
    if constexpr (c == 0) return combine<Row, K + 1, kBegun>(acc, x);
    else if constexpr (!kBegun) return combine<Row, K + 1, true>(c == 1 ? x[K] : mul(x[K], set(static_cast<float>(c))), x);
    else if constexpr (c == 1) return combine<Row, K + 1, true>(add(acc, x[K]), x);
    else if constexpr (c == -1) return combine<Row, K + 1, true>(sub(acc, x[K]), x);
    else return combine<Row, K + 1, true>(fma(x[K], set(static_cast<float>(c)), acc), x);
  }
}

template <int M, int R, int J>
struct InputRow {
  static constexpr double at(int k) { return minimal_filter<M, R>.input[J][k]; }
};
template <int M, int R, int I>
struct OutputRow {
  static constexpr double at(int k) { return minimal_filter<M, R>.output[I][k]; }
};

template <int M, int R, int J = 0>
BITWRIGHT_INLINE void store_inputs(float* const* to, size_t i, const F (&x)[M + R - 1]) {
  if constexpr (J < M + R - 1) {
    store(to[J] + i, combine<InputRow<M, R, J>, 0, false>(zero(), x));
    store_inputs<M, R, J + 1>(to, i, x);
  }
}

// These two copy what they are told: the compiler takes stores of vectors for stores to anything.
template <int M, int R>
void input(const MinimalInput& job) {
  constexpr int n = M + R - 1;
  const uint32_t count = job.count;
  const size_t from_next = job.from_next, to_next = job.to_next;
  const float* from[n];
  float* to[n];
  BITWRIGHT_UNROLL for (int j = 0; j < n; ++j) from[j] = job.from[j], to[j] = job.to[j];
  for (uint32_t c = job.channels; c != 0; --c) {
    F x[n];
    uint32_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      BITWRIGHT_UNROLL for (int e = 0; e < n; ++e) x[e] = load(from[e] + i);
      store_inputs<M, R>(to, i, x);
    }
    if (i < count) {
      BITWRIGHT_UNROLL for (int e = 0; e < n; ++e) x[e] = load_first(from[e] + i, count - i);
      store_inputs<M, R>(to, i, x);
    }
    BITWRIGHT_UNROLL for (int j = 0; j < n; ++j) from[j] += from_next, to[j] += to_next;
  }
}

void transpose_all(const MinimalTranspose& job) {
  const uint32_t rows = job.rows, columns = job.columns;
  const size_t from_stride = job.from_stride, to_stride = job.to_stride;
  const float* first = job.from;
  float* line = job.to;
  for (uint32_t j = 0; j < columns; j += kLanes, first += kLanes, line += kLanes * to_stride) {
    const float* from = first;
    for (uint32_t i = 0; i < rows; i += kLanes, from += kLanes * from_stride) {
      F x[kLanes];
      BITWRIGHT_UNROLL for (size_t k = 0; k < kLanes; ++k) x[k] = load(from + k * from_stride);
      transpose(x);
      BITWRIGHT_UNROLL for (size_t k = 0; k < kLanes; ++k) store(line + k * to_stride + i, x[k]);
    }
  }
}

#ifndef BITWRIGHT_OWN_PRODUCT
// acc[i][v] += x[i] * vector v of w
template <int P, int V>
BITWRIGHT_INLINE void product(F (&acc)[P][V], const float* x, const float* w) {
  F b[V];
  BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) b[v] = next(w + v * kLanes);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i) {
    const F a = broadcast(x + i);
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) add_product(acc[i][v], b[v], a);
  }
}
#endif

// The products of one pair of points, summed: [P][V] vectors.
template <int P, int V>
BITWRIGHT_INLINE void products(float* sums, const float* x, size_t stride, const float* w, uint32_t depth) {
  F acc[P][V];
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = zero();
  do {
    product<P, V>(acc, x, w);
    x += stride;
    w += V * kLanes;
  } while (--depth != 0);
  BITWRIGHT_UNROLL for (int i = 0; i < P; ++i)
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) store(sums + (i * V + v) * kLanes, acc[i][v]);
}

// One column of points after the other: its products, then its rows' output transform.
//   sums [row points][tiles][panel]   ->   halves [column points][rows][tiles][panel]
template <int N>
BITWRIGHT_INLINE void rows_of(float* to, const float* sums, size_t count) {
  constexpr int R = N - static_cast<int>(kMinimalRows) + 1;
  for (size_t i = 0; i < count; i += kLanes) {
    F x[N];
    BITWRIGHT_UNROLL for (int j = 0; j < N; ++j) x[j] = load(sums + static_cast<size_t>(j) * count + i);
    store(to + i, combine<OutputRow<kMinimalRows, R, 0>, 0, false>(zero(), x));
    store(to + count + i, combine<OutputRow<kMinimalRows, R, 1>, 0, false>(zero(), x));
  }
}

template <int P, int V>
void sums_of(const MinimalBlock& job) {
  constexpr size_t count = P * V * kLanes;
  float *sums = job.spare, *half = sums + kMaxRowPoints * kTiles * kPanel;
  const float *x = job.input, *w = job.weights;
  const uint32_t* depth = job.depth;
  for (uint32_t column = 0; column < job.column_points; ++column, half += kMinimalRows * count) {
    for (uint32_t row = 0; row < job.row_points; ++row, ++depth) {
      products<P, V>(sums + row * count, x, job.input_stride, w, *depth);
      x += *depth * job.input_stride;
      w += static_cast<size_t>(*depth) * V * kLanes;
    }
    switch (job.row_points) {
      case 2: rows_of<2>(half, sums, count); break;
      case 3: rows_of<3>(half, sums, count); break;
      case 4: rows_of<4>(half, sums, count); break;
      default: rows_of<5>(half, sums, count); break;
    }
  }
}

template <int N, int V>
BITWRIGHT_INLINE void columns_of(const MinimalBlock& job) {
  constexpr int R = N - static_cast<int>(kMinimalColumns) + 1;
  const size_t row = size_t{job.tiles} * V * kLanes;
  const float* half = job.spare + kMaxRowPoints * kTiles * kPanel;
  float* out = job.out;
  for (uint32_t r = 0; r < kMinimalRows; ++r, half += row)
    for (uint32_t t = 0; t < job.tiles; ++t, out += kMinimalColumns * job.out_stride)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
        F x[N];
        BITWRIGHT_UNROLL for (int j = 0; j < N; ++j) x[j] = load(half + static_cast<size_t>(j) * kMinimalRows * row + (t * V + static_cast<uint32_t>(v)) * kLanes);
        store(out + v * kLanes, combine<OutputRow<kMinimalColumns, R, 0>, 0, false>(zero(), x));
        store(out + job.out_stride + v * kLanes, combine<OutputRow<kMinimalColumns, R, 1>, 0, false>(zero(), x));
        store(out + 2 * job.out_stride + v * kLanes, combine<OutputRow<kMinimalColumns, R, 2>, 0, false>(zero(), x));
        store(out + 3 * job.out_stride + v * kLanes, combine<OutputRow<kMinimalColumns, R, 3>, 0, false>(zero(), x));
      }
}

template <int P, int V>
BITWRIGHT_INLINE void sums_by_tiles(const MinimalBlock& job) {
  if constexpr (P > 1) {
    if (job.tiles != P) return sums_by_tiles<P - 1, V>(job);
  }
  sums_of<P, V>(job);
}

template <int V>
void block_of(const MinimalBlock& job) {
  sums_by_tiles<kTiles, V>(job);
  switch (job.column_points) {
    case 4: columns_of<4, V>(job); break;
    case 5: columns_of<5, V>(job); break;
    case 6: columns_of<6, V>(job); break;
    default: columns_of<7, V>(job); break;
  }
}

void block(const MinimalBlock& job) { job.outputs <= kLanes ? block_of<1>(job) : block_of<2>(job); }

constexpr int kRows = kMinimalRows, kColumns = kMinimalColumns;
constexpr size_t kSpareFloats = (kMaxRowPoints + kMinimalRows * kMaxColumnPoints) * kTiles * kPanel;

constexpr MinimalKernel minimal_kernel(const char* name, const char* isa, const char* about, int rank, bool (*supported)()) {
  return {name, isa, about, rank, supported, kPanel, kTiles, kLanes, kSpareFloats,
          {input<kRows, 1>, input<kRows, 2>, input<kRows, 3>, input<kRows, 4>},
          {input<kColumns, 1>, input<kColumns, 2>, input<kColumns, 3>, input<kColumns, 4>},
          transpose_all, block};
}
