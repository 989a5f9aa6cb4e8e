// The ends of products, bit planes and transposed bits of every instruction set, against plain loops.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

class ProductKernelTest : public testing::TestWithParam<const ProductKernel*> {
 protected:
  template <class Count, class Out>
  void check_finish(void (*finish)(const ProductTile&), uint32_t seed) {
    Random random(seed);
    const uint32_t rows = between(random, 1, 9), columns = between(random, 1, 140);
    const size_t stride = columns + below(random, 9), out_stride = columns + below(random, 9);
    std::vector<Count> counts(rows * stride);
    for (Count& c : counts) c = below(random, 9) == 0 ? static_cast<Count>(65535) : static_cast<Count>(below(random, 3000));
    std::vector<int32_t> row(rows), column(columns);
    for (int32_t& v : row) v = static_cast<int32_t>(below(random, 70000));
    for (int32_t& v : column) v = static_cast<int32_t>(below(random, 70000));
    const bool half = below(random, 3) == 0;
    const int32_t slopes[] = {-1, 1, 2};
    ProductTile t{counts.data(), stride, rows, columns, below(random, 2) ? row.data() : nullptr, below(random, 2) ? column.data() : nullptr,
                  static_cast<int32_t>(below(random, 2) * below(random, 5000)), slopes[below(random, 3)], false, nullptr, out_stride};
    if (half && t.column != nullptr) t.half = true;
    std::vector<Out> out(rows * out_stride, 77), expected(out);
    for (uint32_t i = 0; i < rows; ++i)
      for (uint32_t j = 0; j < columns; ++j) {
        const int64_t x = int64_t{t.constant} + (t.row ? row[i] : 0) + (t.column ? column[j] : 0) - int64_t{t.slope} * counts[i * stride + j];
        expected[i * out_stride + j] = static_cast<Out>(t.half ? (x - (((x % 2) + 2) % 2)) / 2 : x);
      }
    t.out = out.data();
    finish(t);
    ASSERT_EQ(out, expected) << "seed " << seed;
  }

  template <class Count>
  void check_planes(void (*add)(uint32_t*, const Count*, uint32_t, size_t), size_t n) {
    Random random(static_cast<uint32_t>(n));
    std::vector<uint32_t> sum(n, 5), expected(n, 0);
    for (uint32_t plane = 0; plane < 8; ++plane) {
      std::vector<Count> counts(n);
      for (Count& c : counts) c = below(random, 5) == 0 ? static_cast<Count>(65535) : static_cast<Count>(random() & 0xffff);
      for (size_t i = 0; i < n; ++i) expected[i] += static_cast<uint32_t>(counts[i]) << plane;
      add(sum.data(), counts.data(), plane, n);
      ASSERT_EQ(sum, expected) << "plane " << plane << " of " << n;
    }
  }
};

TEST_P(ProductKernelTest, Finish) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    check_finish<uint16_t, uint16_t>(GetParam()->finish16_16, seed);
    check_finish<uint16_t, int32_t>(GetParam()->finish16_32, seed);
    check_finish<uint32_t, uint16_t>(GetParam()->finish32_16, seed);
    check_finish<uint32_t, int32_t>(GetParam()->finish32_32, seed);
  }
}

TEST_P(ProductKernelTest, Planes) {
  for (size_t n : {1, 15, 64, 100, 448}) {
    check_planes(GetParam()->add_plane16, n);
    check_planes(GetParam()->add_plane32, n);
  }
}

TEST_P(ProductKernelTest, Transpose) {
  Random random(11);
  for (uint32_t round = 0; round < 300; ++round) {
    const size_t rows = between(random, 1, round < 30 ? 3 : 130), columns = between(random, 1, round % 5 == 0 ? 1100 : 100);
    const size_t from_stride = (columns + 31) / 32 + below(random, 3), to_stride = (rows + 31) / 32 + below(random, 3);
    std::vector<uint32_t> from((rows - 1) * from_stride + (columns + 31) / 32), to((columns - 1) * to_stride + (rows + 31) / 32, 0xdeadbeefu);
    for (uint32_t& w : from) w = random();  // bits past the columns are set too: they must not arrive
    std::vector<uint32_t> expected(to);
    for (size_t c = 0; c < columns; ++c)
      for (size_t r = 0; r < (rows + 31) / 32 * 32; ++r) {
        uint32_t& word = expected[c * to_stride + r / 32];
        if (r % 32 == 0) word = 0;
        if (r < rows) word |= (from[r * from_stride + c / 32] >> (c % 32) & 1) << (r % 32);
      }
    GetParam()->transpose(to.data(), to_stride, from.data(), from_stride, rows, columns);
    ASSERT_EQ(to, expected) << rows << " x " << columns;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, ProductKernelTest, testing::ValuesIn(supported(product_kernels())), kernel_name<ProductKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
