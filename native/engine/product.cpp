#include "product.h"

#include <algorithm>

#include "error.h"

namespace bitwright {
namespace {

constexpr size_t kChunkBytes = size_t{128} << 10;  // rows of A that stay in the caches while the panels of B pass, about

uint32_t popcount(uint64_t v) {
  v -= (v >> 1) & 0x5555555555555555u;
  v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
  return static_cast<uint32_t>((((v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u) >> 56);
}

}  // namespace

int32_t ones_of_row(const uint32_t* row, size_t words) {
  uint32_t n = 0;
  size_t k = 0;
  for (; k + 2 <= words; k += 2) n += popcount(row[k] | uint64_t{row[k + 1]} << 32);
  if (k < words) n += popcount(row[k]);
  return static_cast<int32_t>(n);
}

ProductMatrix::ProductMatrix(const uint32_t* b, size_t batch, size_t rows, size_t words, const Kernels& kernels, Pool& pool)
    : kernels_(kernels), batch_(batch), rows_(rows), words_(words) {
  if (words == 0 || words > (size_t{1} << 24)) fail(Status::kArgument, "rows of ", words, " words: 1 to 16777216 are possible");
  if (rows > INT32_MAX) fail(Status::kArgument, rows, " rows of b are too many");
  const BinaryKernel& kernel = *kernels_.binary;
  const auto depth = static_cast<uint32_t>(words);
  panel_bytes_ = kernel.panel_bytes(1, depth);
  panels_per_matrix_ = (rows + kernel.panel - 1) / kernel.panel;
  ones_.resize(batch * rows);
  pool.run(batch, [&](size_t matrix, unsigned) {
    for (size_t j = matrix * rows; j < (matrix + 1) * rows; ++j) ones_[j] = ones_of_row(b + j * words, words);
  });
  if (kernels_.sliced_forced && SlicedProduct::possible(words)) {
    sliced_ = std::make_unique<const SlicedProduct>(*kernels_.sliced, b, batch, rows, words, pool);
    return;
  }
  panels_ = AlignedBuffer(std::max<size_t>(batch * panels_per_matrix_ * panel_bytes_, 64));
  pool.run(batch * panels_per_matrix_, [&](size_t item, unsigned) {
    const size_t matrix = item / panels_per_matrix_, first = item % panels_per_matrix_ * kernel.panel;
    const auto count = static_cast<uint32_t>(std::min<size_t>(kernel.panel, rows - first));
    kernel.pack(panels_.as<uint8_t>() + item * panel_bytes_, b + (matrix * rows + first) * words, count, 1, depth);
  });
}

void ProductMatrix::multiply(const uint32_t* a, size_t m, Product product, size_t bits, const Output& out, Pool& pool, size_t item_rows) const {
  if (m == 0 || panels_per_matrix_ == 0 || batch_ == 0) return;
  const ProductKernel& end = *kernels_.product;
  const bool narrow = words_ * 32 <= 65535;
  const auto finish = narrow ? (out.wide ? end.finish16_32 : end.finish16_16) : (out.wide ? end.finish32_32 : end.finish32_16);
  const ProductEnd rest{product, bits, finish, ones_.data(), rows_, static_cast<uint8_t*>(out.data), size_t{out.wide ? 4u : 2u}, m};
  if (sliced_)
    sliced_->multiply(a, rest, pool);
  else
    by_popcount(a, rest, pool, item_rows);
}

void ProductMatrix::by_popcount(const uint32_t* a, const ProductEnd& end, Pool& pool, size_t item_rows) const {
  const BinaryKernel& kernel = *kernels_.binary;
  const size_t m = end.m, mr = kernel.mr, panels = panels_per_matrix_;
  const bool narrow = words_ * 32 <= 65535;
  const size_t most = item_rows ? std::min(item_rows, m) : std::clamp<size_t>(kChunkBytes / (words_ * 4), 32, 512);
  const size_t chunk = std::max<size_t>(most / mr, 1) * mr;
  const size_t chunks = (m + chunk - 1) / chunk;
  const size_t wanted = pool.threads() == 1 ? 1 : size_t{pool.threads()} * 4;
  const size_t slices = std::clamp<size_t>((wanted + chunks * batch_ - 1) / (chunks * batch_), 1, panels);
  pool.run(batch_ * chunks * slices, [&](size_t item, unsigned) {
    const size_t matrix = item / (chunks * slices), first = item / slices % chunks * chunk, slice = item % slices;
    const size_t rows = std::min(chunk, m - first);
    const uint32_t* from = a + (matrix * m + first) * words_;
    const int32_t zero = 0;
    const int32_t* offset[kMaxTilePixels];
    std::fill_n(offset, mr, &zero);
    std::vector<int32_t> row;
    end.rows(row, from, rows, words_);
    alignas(64) uint32_t counts[kMaxTilePixels * kMaxPanel];
    ProductTile t = end.tile(counts, kernel.panel);
    for (size_t panel = slice * panels / slices; panel < (slice + 1) * panels / slices; ++panel) {
      const size_t column = panel * kernel.panel;
      end.panel(t, matrix, column, kernel.panel);
      const uint8_t* weights = panels_.as<uint8_t>() + (matrix * panels + panel) * panel_bytes_;
      for (size_t i = 0; i < rows; i += mr) {
        t.rows = static_cast<uint32_t>(std::min(mr, rows - i));
        t.out = end.at(matrix, first + i, column);
        end.prefetch(static_cast<const uint8_t*>(t.out), t.rows, t.columns);
        const uint32_t* base[kMaxTilePixels];
        for (uint32_t k = 0; k < t.rows; ++k) base[k] = from + (i + k) * words_;
        const BinaryTile tile{base, offset, t.rows, 1, static_cast<uint32_t>(words_), weights};
        if (narrow)
          kernel.count16(reinterpret_cast<uint16_t*>(counts), tile);
        else
          kernel.count32(counts, tile);
        if (!row.empty()) t.row = row.data() + i;
        end.finish(t);
      }
    }
  });
}

}  // namespace bitwright
