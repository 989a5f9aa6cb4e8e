// Matrix products by a sliced kernel (kernel.h): a product is a convolution with one tap whose pixels are A's rows.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernel_sliced.h"
#include "pool.h"
#include "product_end.h"
#include "storage.h"

namespace bitwright {

class SlicedProduct {
 public:
  // Whether counts of rows of so many words fit the kernels.
  static bool possible(size_t words) { return words * 32 <= 65535; }

  SlicedProduct(const SlicedKernel& kernel, const uint32_t* b, size_t batch, size_t rows, size_t words, Pool& pool);
  // a: [batch][end.m][words]
  void multiply(const uint32_t* a, const ProductEnd& end, Pool& pool) const;
  size_t bytes() const { return panels_.size(); }
  const SlicedKernel& kernel() const { return kernel_; }

 private:
  struct Chunk;  // of A's rows
  void features(const Chunk& chunk, size_t block) const;
  void tiles(const Chunk& chunk, const ProductEnd& end, size_t panel, size_t first_group, size_t end_group) const;

  // Memory for features, kept between products, which may run side by side.
  AlignedBuffer take(size_t bytes) const;
  void give(AlignedBuffer buffer) const;

  const SlicedKernel& kernel_;
  size_t batch_, rows_, words_, panel_bytes_, panels_per_matrix_, block_bytes_;
  BitSlice slice_;
  std::vector<int32_t> step_, source_;  // see SlicedTile and SlicedFeatures
  int32_t last_;
  AlignedBuffer panels_;
  mutable std::mutex mutex_;
  mutable std::vector<AlignedBuffer> spare_;
};

}  // namespace bitwright
