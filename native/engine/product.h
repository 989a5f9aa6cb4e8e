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

// B of a product in the layout of the count kernels. Bits past the true length are 0. The sliced kernel counts where it is asked for by
// name and its counts fit, popcount everywhere else.
class ProductMatrix {
 public:
  // batch matrices of [rows][words], one after the other.
  ProductMatrix(const uint32_t* b, size_t batch, size_t rows, size_t words, const Kernels& kernels, Pool& pool);

  size_t batch() const { return batch_; }
  size_t rows() const { return rows_; }
  size_t words() const { return words_; }
  size_t bytes() const { return sliced_ ? sliced_->bytes() : panels_.size(); }
  const char* kernel() const { return sliced_ ? sliced_->kernel().name : kernels_.binary->name; }

  struct Output {
    void* data;     // [batch][M][rows()]
    bool wide;      // int32, else uint16
  };
  // a: [batch][M][words]. With a batch of 1 the same B meets all of a, so M may be any number of rows. bits: the true length (kSigns).
  // item_rows: rows of A that the panels of B pass together, at most; 0: by the caches. The sliced kernel cuts as it does.
  void multiply(const uint32_t* a, size_t m, Product product, size_t bits, const Output& out, Pool& pool, size_t item_rows = 0) const;

 private:
  void by_popcount(const uint32_t* a, const ProductEnd& end, Pool& pool, size_t item_rows) const;

  Kernels kernels_;
  size_t batch_, rows_, words_, panel_bytes_, panels_per_matrix_;
  AlignedBuffer panels_;       // empty if the sliced kernel has its own
  std::vector<int32_t> ones_;  // of each row of B
  std::unique_ptr<const SlicedProduct> sliced_;
};

}  // namespace bitwright
