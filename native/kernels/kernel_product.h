// What products of bits need around the count kernels: ends of a matrix product's tiles, bit planes, transposed bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

struct ProductTile {
  const void* counts;       // [rows][counts_stride] of 16 or 32 bits
  size_t counts_stride;     // elements
  uint32_t rows, columns;
  const int32_t* row;       // [rows], or null for zeros
  const int32_t* column;    // [columns], or null for zeros
  int32_t constant;
  int32_t slope;            // -1, 1 or 2
  bool half;                // (…) / 2, which is exact
  void* out;                // [rows][out_stride]: row + column + constant - slope*count, of 16 bits (cut to them) or 32
  size_t out_stride;        // elements
};

struct ProductKernel {
  const char* name;  // "bmatmul_avx512"
  const char* isa;
  const char* about;
  int rank;
  bool (*supported)();
  // By the bits of counts and of out.
  void (*finish16_16)(const ProductTile& t);
  void (*finish16_32)(const ProductTile& t);
  void (*finish32_16)(const ProductTile& t);
  void (*finish32_32)(const ProductTile& t);
  // sum[i] = counts[i] << plane, for plane 0, or else sum[i] += counts[i] << plane; i < n. The planes of a tile come in order.
  void (*add_plane16)(uint32_t* sum, const uint16_t* counts, uint32_t plane, size_t n);
  void (*add_plane32)(uint32_t* sum, const uint32_t* counts, uint32_t plane, size_t n);
  // bit r of row c of `to` = bit c of row r of `from`, r < rows, c < columns. Rows of `from` have from_stride words, rows of `to` to_stride, of
  // which ceil(rows/32) are written, tail bits 0.
  void (*transpose)(uint32_t* to, size_t to_stride, const uint32_t* from, size_t from_stride, size_t rows, size_t columns);
};

}  // namespace bitwright
