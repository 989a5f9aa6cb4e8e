// Products of packed matrices without a model: A [M][words] x B [N][words] -> out [M][N], by the engine's count kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "pool.h"
#include "product_end.h"
#include "product_sliced.h"
#include "selection.h"
#include "storage.h"

namespace bitwright {

// B of a product in the layout of the count kernels. Bits past the true length are 0. Where products by the sliced kernel are expected to be faster
// (or it is forced) B is laid out for it too, or for it alone.
class ProductMatrix {
 public:
  // batch matrices of [rows][words], one after the other. rows_of_a: of the only product that it will be used for, 0 for many or unknown ones.
  ProductMatrix(const uint32_t* b, size_t batch, size_t rows, size_t words, const Kernels& kernels, Pool& pool, size_t rows_of_a = 0);

  size_t batch() const { return batch_; }
  size_t rows() const { return rows_; }
  size_t words() const { return words_; }
  size_t bytes() const { return panels_.size() + (sliced_ ? sliced_->bytes() : 0); }
  const char* kernel() const { return sliced_ ? sliced_->kernel().name : kernels_.binary->name; }  // of large products

  struct Output {
    void* data;     // [batch][M][rows()]
    bool wide;      // int32, else uint16
  };
  // a: [batch][M][words]. With a batch of 1 the same B meets all of a, so M may be any number of rows. bits: the true length (kSigns).
  void multiply(const uint32_t* a, size_t m, Product product, size_t bits, const Output& out, Pool& pool) const;

 private:
  void by_popcount(const uint32_t* a, const ProductEnd& end, Pool& pool) const;

  Kernels kernels_;
  size_t batch_, rows_, words_, panel_bytes_, panels_per_matrix_;
  AlignedBuffer panels_;       // empty if all products are the sliced kernel's
  std::vector<int32_t> ones_;  // of each row of B
  std::unique_ptr<const SlicedProduct> sliced_;
};

}  // namespace bitwright
