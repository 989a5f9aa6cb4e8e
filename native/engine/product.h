// Products of packed matrices without a model: A [M][words] x B [N][words] -> out [M][N], by the engine's count kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pool.h"
#include "selection.h"
#include "storage.h"

namespace bitwright {

// What an output is, from the number of bits that differ.
enum class Product : uint32_t {
  kSigns = 0,    // a and b are ±1: bits - 2*differ
  kHamming = 1,  // differ
  kLevels = 2,   // a is {0,1}, b ±1: ones(b) - differ
  kAnd = 3,      // both are {0,1}: (ones(a) + ones(b) - differ) / 2
  kLevelsOfB = 4,  // a is ±1, b {0,1}: ones(a) - differ
};

// B of a product in the layout of the count kernel. Bits past the true length are 0.
class ProductMatrix {
 public:
  // batch matrices of [rows][words], one after the other.
  ProductMatrix(const uint32_t* b, size_t batch, size_t rows, size_t words, const Kernels& kernels, Pool& pool);

  size_t batch() const { return batch_; }
  size_t rows() const { return rows_; }
  size_t words() const { return words_; }
  size_t bytes() const { return panels_.size(); }
  const Kernels& kernels() const { return kernels_; }

  struct Output {
    void* data;     // [batch][M][rows()]
    bool wide;      // int32, else uint16
  };
  // a: [batch][M][words]. With a batch of 1 the same B meets all of a, so M may be any number of rows. bits: the true length (kSigns).
  void multiply(const uint32_t* a, size_t m, Product product, size_t bits, const Output& out, Pool& pool) const;

 private:
  Kernels kernels_;
  size_t batch_, rows_, words_, panel_bytes_, panels_per_matrix_;
  AlignedBuffer panels_;
  std::vector<int32_t> ones_;  // of each row of B
};

}  // namespace bitwright
