// What a matrix product does with the counts of a tile: the constants of its product, the ones of both sides' rows, where the output lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel_product.h"

namespace bitwright {

// What an output is, from the number of bits that differ.
enum class Product : uint32_t {
  kSigns = 0,    // a and b are ±1: bits - 2*differ
  kHamming = 1,  // differ
  kLevels = 2,   // a is {0,1}, b ±1: ones(b) - differ
  kAnd = 3,      // both are {0,1}: (ones(a) + ones(b) - differ) / 2
  kLevelsOfB = 4,  // a is ±1, b {0,1}: ones(a) - differ
};

int32_t ones_of_row(const uint32_t* row, size_t words);

struct ProductEnd {
  Product product;
  size_t bits;            // the true length (kSigns)
  void (*finish)(const ProductTile&);
  const int32_t* column;  // ones of B's rows, [batch][columns]
  size_t columns;
  uint8_t* out;           // [batch][m][columns]
  size_t element;         // bytes
  size_t m;

  bool counts_rows() const { return product == Product::kAnd || product == Product::kLevelsOfB; }
  // Ones of A's rows, where they count; else nothing.
  void rows(std::vector<int32_t>& to, const uint32_t* a, size_t count, size_t words) const {
    to.clear();
    if (counts_rows())
      for (size_t i = 0; i < count; ++i) to.push_back(ones_of_row(a + i * words, words));
  }
  ProductTile tile(const void* counts, size_t stride) const {
    ProductTile t{};
    t.counts = counts;
    t.counts_stride = stride;
    t.constant = product == Product::kSigns ? static_cast<int32_t>(bits) : 0;
    t.slope = product == Product::kSigns ? 2 : product == Product::kHamming ? -1 : 1;
    t.half = product == Product::kAnd;
    t.out_stride = columns;
    return t;
  }
  // `columns` of a panel, at most, from one of a matrix on.
  void panel(ProductTile& t, size_t matrix, size_t first, size_t width) const {
    t.columns = static_cast<uint32_t>(columns - first < width ? columns - first : width);
    if (product == Product::kAnd || product == Product::kLevels) t.column = column + matrix * columns + first;
  }
  uint8_t* at(size_t matrix, size_t row, size_t first) const { return out + ((matrix * m + row) * columns + first) * element; }
  // Output lines on their way while the tile is counted: without it their misses hold up the stores.
  void prefetch(const uint8_t* to, size_t rows, size_t width) const {
#if defined(__GNUC__)
    for (size_t i = 0; i < rows; ++i)
      for (size_t k = 0; k < width * element; k += 64) __builtin_prefetch(to + i * columns * element + k, 1);
#else
    (void)to, (void)rows, (void)width;
#endif
  }
};

}  // namespace bitwright
