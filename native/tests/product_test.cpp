// Matrix products of packed rows, by every count kernel, against bits counted one by one.
#include "kernels_common.h"

#include "product.h"

namespace bitwright::kernels_test {
namespace {

struct Shape {
  size_t batch, m, n, k;
};

// Rows of k random bits, with all 0 and all 1 among them; bits past k are 0.
std::vector<uint32_t> random_rows(size_t rows, size_t k, Random& random) {
  const size_t words = (k + 31) / 32;
  std::vector<uint32_t> out(rows * words);
  for (size_t i = 0; i < rows; ++i) {
    const uint32_t kind = below(random, 8);
    for (size_t w = 0; w < words; ++w) out[i * words + w] = kind == 0 ? 0 : kind == 1 ? ~0u : random();
    if (k % 32 != 0) out[i * words + words - 1] &= (1u << (k % 32)) - 1;
  }
  return out;
}

int32_t expected(Product product, const uint32_t* a, const uint32_t* b, size_t k) {
  int32_t sum = 0;
  for (size_t c = 0; c < k; ++c) {
    const int32_t x = a[c / 32] >> (c % 32) & 1, w = b[c / 32] >> (c % 32) & 1;
    switch (product) {
      case Product::kSigns: sum += (2 * x - 1) * (2 * w - 1); break;
      case Product::kHamming: sum += x != w; break;
      case Product::kLevels: sum += x * (2 * w - 1); break;
      case Product::kAnd: sum += x * w; break;
      case Product::kLevelsOfB: sum += (2 * x - 1) * w; break;
    }
  }
  return sum;
}

// The result, every kernel's and every product's of these numbers; what lies behind the output stays as it is.
void check(const std::vector<std::string>& kernels, const Shape& s, Random& random) {
  const size_t words = (s.k + 31) / 32;
  const std::vector<uint32_t> a = random_rows(s.batch * s.m, s.k, random), b = random_rows(s.batch * s.n, s.k, random);
  const auto product = static_cast<Product>(below(random, 5));
  const bool narrow = (product == Product::kHamming || product == Product::kAnd) && s.k <= 65535 && below(random, 2) != 0;
  std::vector<int32_t> wanted;
  for (size_t t = 0; t < s.batch; ++t)
    for (size_t i = 0; i < s.m; ++i)
      for (size_t j = 0; j < s.n; ++j) wanted.push_back(expected(product, a.data() + (t * s.m + i) * words, b.data() + (t * s.n + j) * words, s.k));
  for (const std::string& kernel : kernels) {
    Pool pool(between(random, 1, 3));
    const ProductMatrix matrix(b.data(), s.batch, s.n, words, select_kernels(kernel), pool);
    const size_t item_rows = below(random, 3) == 0 ? between(random, 1, 100) : 0;
    for (int again = 0; again < 2; ++again) {  // the second time with memory that has been used
      std::vector<int32_t> got(wanted.size() + 64, 0x5a5a5a5a);
      matrix.multiply(a.data(), s.m, product, s.k, {got.data(), !narrow}, pool, item_rows);
      const auto* few = reinterpret_cast<const uint16_t*>(got.data());
      const std::string what = (kernel.empty() ? "default" : kernel) + ": " + std::to_string(s.batch) + " x " + std::to_string(s.m) + " x " +
                               std::to_string(s.n) + " x " + std::to_string(s.k) + " product " + std::to_string(static_cast<int>(product)) + " threads " +
                               std::to_string(pool.threads());
      for (size_t i = 0; i < wanted.size(); ++i) ASSERT_EQ(narrow ? few[i] : got[i], wanted[i]) << what << " at " << i;
      for (size_t i = wanted.size(); i < got.size(); ++i) {
        if (narrow)
          ASSERT_EQ(few[i], 0x5a5a) << what;
        else
          ASSERT_EQ(got[i], 0x5a5a5a5a) << what;
      }
    }
  }
}

// One of each count kernel, those that count bit-sliced, and the choice that is made without a request.
std::vector<std::string> all_kernels() {
  std::vector<std::string> names{""};
  for (const KernelFacts& k : list_kernels())
    if (k.operation == "bconv" && k.supported) {
      names.push_back(k.name);
      for (const std::string& tile : k.tiles) names.push_back(k.name + "/" + tile);
    }
  return names;
}

TEST(Product, RandomShapes) {
  Random random(1);
  const std::vector<std::string> kernels = all_kernels();
  for (int i = 0; i < 150; ++i)
    check(kernels, {between(random, 1, 3), between(random, 1, 90), between(random, 1, 150), between(random, 1, 400)}, random);
}

TEST(Product, OneOfEach) {
  Random random(2);
  for (size_t m : {1, 8, 9, 24, 33, 64, 65})
    for (size_t n : {1, 63, 64, 65})
      for (size_t k : {1, 2, 7, 31, 32, 33, 64, 65, 95, 97}) check(all_kernels(), {1, m, n, k}, random);
}

// Several chunks of rows.
TEST(Product, LongRows) {
  Random random(3);
  for (const Shape& s : {Shape{1, 25, 130, 1031}, Shape{2, 70, 192, 577}, Shape{1, 300, 128, 2305}, Shape{1, 1200, 128, 513}}) {
    check(all_kernels(), s, random);
  }
}

TEST(Product, MostBitsThatSixteenBitsCount) {
  Random random(4);
  for (size_t k : {65500, 65504, 65505, 65535, 65536, 65600}) check(all_kernels(), {1, 30, 129, k}, random);
}

TEST(Product, AllBitsDifferOrNone) {
  for (const std::string& kernel : all_kernels())
    for (size_t words : {1, 5, 36, 128, 2047}) {
      const std::vector<uint32_t> a(40 * words, ~0u), zero(70 * words, 0), one(70 * words, ~0u);
      Pool pool(1);
      std::vector<int32_t> out(40 * 70);
      for (bool same : {false, true}) {
        const ProductMatrix matrix((same ? one : zero).data(), 1, 70, words, select_kernels(kernel), pool);
        matrix.multiply(a.data(), 40, Product::kHamming, 32 * words, {out.data(), true}, pool);
        for (int32_t v : out) ASSERT_EQ(v, same ? 0 : static_cast<int32_t>(32 * words)) << kernel;
      }
    }
}

TEST(Product, SlicedKernelByName) {
  const Kernels kernels = select_kernels("");
  if (kernels.sliced == nullptr || kernels.forced) GTEST_SKIP() << "this CPU has no sliced kernel";
  Pool pool(1);
  const std::vector<uint32_t> b(256 * 128, 1);
  const std::string sliced = kernels.sliced->name, binary = kernels.binary->name;
  EXPECT_EQ(ProductMatrix(b.data(), 1, 256, 128, select_kernels(sliced), pool).kernel(), sliced);
  EXPECT_EQ(ProductMatrix(b.data(), 1, 4, 2048, select_kernels(sliced), pool).kernel(), binary);  // counts need more than 16 bits
  EXPECT_EQ(ProductMatrix(b.data(), 1, 256, 128, kernels, pool).kernel(), binary);
}

}  // namespace
}  // namespace bitwright::kernels_test
