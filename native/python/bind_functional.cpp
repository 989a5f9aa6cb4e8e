// Packing and matrix products of packed arrays. The Python side has checked types and shapes; sizes are checked here once more, since a wrong one
// would write past an array.
#include "bind_functional.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "error.h"
#include "packing.h"
#include "product.h"
#include "shared_pool.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace bitwright {
namespace {

using Array = nb::ndarray<nb::ro, nb::device::cpu>;
using Words = nb::ndarray<uint32_t, nb::c_contig, nb::device::cpu>;

PackType pack_type(const Array& a) {
  const nb::dlpack::dtype type = a.dtype();
  if (type == nb::dtype<float>()) return PackType::kF32;
  if (type == nb::dtype<int16_t>()) return PackType::kI16;
  if (type == nb::dtype<int8_t>()) return PackType::kI8;
  if (type == nb::dtype<uint8_t>() || type == nb::dtype<bool>()) return PackType::kU8;
  fail(Status::kArgument, "pack_bits: wrong element type");
}

// words[..., c/32] bit c%32 = x[..., c] >= threshold[c]
void pack_bits(const Array& x, const Array& threshold, const Words& words, unsigned threads) {
  PackArray a;
  a.type = pack_type(x);
  if (x.ndim() == 0 || x.shape(x.ndim() - 1) == 0) fail(Status::kArgument, "pack_bits: no channels");
  const size_t channels = x.shape(x.ndim() - 1), bytes = x.itemsize();
  size_t rows = 1;
  for (size_t k = 0; k < x.ndim(); ++k) {
    a.shape.push_back(x.shape(k));
    a.strides.push_back(static_cast<ptrdiff_t>(x.stride(k)) * static_cast<ptrdiff_t>(bytes));
    if (k + 1 < x.ndim()) rows *= x.shape(k);
  }
  const bool fits = threshold.ndim() <= 1 && (threshold.size() == 1 || threshold.size() == channels) && threshold.itemsize() == bytes &&
                    (threshold.size() == 1 || threshold.stride(0) == 1) && pack_type(threshold) == a.type;
  if (!fits || words.size() != rows * ((channels + 31) / 32)) fail(Status::kArgument, "pack_bits: arrays of the wrong size");
  a.x = x.data();
  a.threshold = threshold.data();
  a.per_channel = threshold.size() != 1;
  a.words = words.data();
  const PackKernel* kernel = find_pack_kernel(nullptr);
  nb::gil_scoped_release release;
  const auto pool = shared_pool(threads);
  Pool::Busy busy(*pool);
  pack_array(a, *kernel, *pool);
}

std::shared_ptr<ProductMatrix> product_matrix(const nb::ndarray<const uint32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>& b, const std::string& kernel,
                                              unsigned threads) {
  nb::gil_scoped_release release;
  const auto pool = shared_pool(threads);
  Pool::Busy busy(*pool);
  return std::make_shared<ProductMatrix>(b.data(), b.shape(0), b.shape(1), b.shape(2), select_kernels(kernel), *pool);
}

void multiply(const ProductMatrix& b, const nb::ndarray<const uint32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>& a, uint32_t product, size_t bits,
              const nb::ndarray<nb::c_contig, nb::ndim<3>, nb::device::cpu>& out, unsigned threads, size_t rows) {
  const bool wide = out.dtype() == nb::dtype<int32_t>();
  if (product > 4 || bits > b.words() * 32 || a.shape(0) != b.batch() || a.shape(2) != b.words() || out.shape(0) != b.batch() ||
      out.shape(1) != a.shape(1) || out.shape(2) != b.rows() || !(wide || out.dtype() == nb::dtype<uint16_t>()))
    fail(Status::kArgument, "multiply: arrays of the wrong size or type");
  nb::gil_scoped_release release;
  const auto pool = shared_pool(threads);
  Pool::Busy busy(*pool);
  b.multiply(a.data(), a.shape(1), static_cast<Product>(product), bits, {out.data(), wide}, *pool, rows);
}

}  // namespace

void bind_functional(nb::module_& m) {
  m.def("pack_bits", &pack_bits, "x"_a, "threshold"_a, "words"_a.noconvert(), "threads"_a);
  nb::class_<ProductMatrix>(m, "ProductMatrix")
      .def("multiply", &multiply, "a"_a, "product"_a, "bits"_a, "out"_a.noconvert(), "threads"_a, "rows"_a)
      .def_prop_ro("nbytes", &ProductMatrix::bytes)
      .def_prop_ro("kernel", [](const ProductMatrix& b) { return std::string(b.kernel()); });
  m.def("product_matrix", &product_matrix, "b"_a, "kernel"_a, "threads"_a);
}

}  // namespace bitwright
