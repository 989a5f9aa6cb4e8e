// Every packing kernel against one bit at a time; and arrays of any strides.
#include <numeric>

#include "kernels_common.h"
#include "packing.h"

namespace bitwright::kernels_test {
namespace {

template <class T>
T value(Random& r) {
  if constexpr (std::is_same_v<T, float>) {
    return awkward(r);
  } else {
    switch (below(r, 8)) {
      case 0: return std::numeric_limits<T>::min();
      case 1: return std::numeric_limits<T>::max();
      case 2: return 0;
      default: return static_cast<T>(r());
    }
  }
}

template <class T>
auto function_of(const PackKernel& k) {
  if constexpr (std::is_same_v<T, float>) return k.f32;
  if constexpr (std::is_same_v<T, int16_t>) return k.i16;
  if constexpr (std::is_same_v<T, int8_t>) return k.i8;
  if constexpr (std::is_same_v<T, uint8_t>) return k.u8;
}

template <class T>
PackType type_of() {
  return std::is_same_v<T, float> ? PackType::kF32 : std::is_same_v<T, int16_t> ? PackType::kI16 : std::is_same_v<T, int8_t> ? PackType::kI8 : PackType::kU8;
}

class PackKernelTest : public testing::TestWithParam<const PackKernel*> {
 protected:
  // Rows of `count` elements that end exactly where the buffer ends, with a gap between them and an offset that breaks alignment.
  template <class T>
  void check(size_t count, size_t rows, size_t gap, size_t offset, bool per_channel, uint32_t seed) {
    Random random(seed);
    const size_t words = (count + 31) / 32, stride = count + gap;
    std::vector<T> x(offset + (rows - 1) * stride + count), t(per_channel ? count : 1);
    for (T& v : x) v = value<T>(random);
    for (T& v : t) v = value<T>(random);
    std::vector<uint32_t> bits(rows * (words + 1), 0xdeadbeefu), expected(bits);
    for (size_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < words * 32; ++c) {
        uint32_t& word = expected[r * (words + 1) + c / 32];
        if (c % 32 == 0) word = 0;
        if (c < count && x[offset + r * stride + c] >= t[per_channel ? c : 0]) word |= 1u << (c % 32);
      }
    function_of<T>(*GetParam())({bits.data(), words + 1, x.data() + offset, static_cast<ptrdiff_t>(stride * sizeof(T)), t.data(), per_channel, rows, count});
    ASSERT_EQ(bits, expected) << sizeof(T) << " bytes, " << count << " channels, " << rows << " rows";
  }

  template <class T>
  void check_all() {
    for (uint32_t count = 1; count <= 330; ++count)
      for (bool per_channel : {false, true}) check<T>(count, 1 + count % 3, count % 5, count % 4, per_channel, count);
    for (uint32_t count : {1000u, 1024u, 4097u}) check<T>(count, 2, 0, 1, false, count), check<T>(count, 2, 0, 1, true, count);
  }
};

TEST_P(PackKernelTest, EveryCountOfFloats) { check_all<float>(); }
TEST_P(PackKernelTest, EveryCountOfInt16) { check_all<int16_t>(); }
TEST_P(PackKernelTest, EveryCountOfInt8) { check_all<int8_t>(); }
TEST_P(PackKernelTest, EveryCountOfUint8) { check_all<uint8_t>(); }

// All pairs of a byte value and a threshold.
template <class T>
void all_pairs(void (*pack)(const PackRows&)) {
  std::vector<T> x(256);
  std::iota(x.begin(), x.end(), std::numeric_limits<T>::min());
  for (int t = std::numeric_limits<T>::min(); t <= std::numeric_limits<T>::max(); ++t) {
    const T threshold = static_cast<T>(t);
    uint32_t bits[8];
    pack({bits, 8, x.data(), 256, &threshold, false, 1, 256});
    for (size_t c = 0; c < 256; ++c) ASSERT_EQ(bits[c / 32] >> (c % 32) & 1, x[c] >= threshold) << int{x[c]} << " >= " << t;
  }
}

TEST_P(PackKernelTest, AllBytesAndThresholds) {
  all_pairs<int8_t>(GetParam()->i8);
  all_pairs<uint8_t>(GetParam()->u8);
}

TEST_P(PackKernelTest, ZerosAreOneAndNanIsZero) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), zero = 0.0f;
  std::vector<float> x(40, 0.0f);
  x[1] = -0.0f;
  x[2] = nan;
  x[33] = -0.0f;
  x[34] = nan;
  uint32_t bits[2];
  GetParam()->f32({bits, 2, x.data(), 0, &zero, false, 1, 40});
  EXPECT_EQ(bits[0], ~4u);
  EXPECT_EQ(bits[1], 0xfbu);
  GetParam()->f32({bits, 2, x.data(), 0, &nan, false, 1, 40});
  EXPECT_EQ(bits[0], 0u);
  EXPECT_EQ(bits[1], 0u);
}

// Arrays of 1 to 4 axes in any order, with gaps, negative strides and broadcast axes.
template <class T>
void check_array(const PackKernel& kernel, uint32_t seed) {
  Random random(seed);
  const size_t rank = between(random, 1, 4);
  PackArray a;
  a.type = type_of<T>();
  std::vector<size_t> order(rank);
  std::iota(order.begin(), order.end(), size_t{0});
  if (below(random, 3) != 0) std::shuffle(order.begin(), order.end(), random);
  for (size_t k = 0; k < rank; ++k) a.shape.push_back(between(random, below(random, 30) == 0 ? 0 : 1, k + 1 == rank ? 300 : 70 / static_cast<uint32_t>(rank)));
  a.shape.back() = std::max<size_t>(a.shape.back(), 1);
  if (below(random, 3) == 0) a.shape.back() = 32 * between(random, 1, 5);
  a.strides.resize(rank);
  size_t extent = 1;
  std::vector<bool> backwards(rank);
  for (size_t k = rank; k-- > 0;) {
    a.strides[order[k]] = static_cast<ptrdiff_t>(extent);
    extent *= std::max<size_t>(a.shape[order[k]], 1);
    if (below(random, 4) == 0) extent += below(random, 5);
    backwards[order[k]] = below(random, 6) == 0;
    if (k + 1 != rank && below(random, 10) == 0) a.strides[order[k]] = 0;
  }
  std::vector<T> x(extent), t(a.shape.back());
  for (T& v : x) v = value<T>(random);
  for (T& v : t) v = value<T>(random);
  const T* first = x.data();
  for (size_t k = 0; k < rank; ++k)
    if (backwards[k] && a.shape[k] > 0) {
      first += a.strides[k] * static_cast<ptrdiff_t>(a.shape[k] - 1);
      a.strides[k] = -a.strides[k];
    }
  for (ptrdiff_t& s : a.strides) s *= static_cast<ptrdiff_t>(sizeof(T));
  a.x = first;
  a.threshold = t.data();
  a.per_channel = t.size() > 1 && below(random, 2) == 0;
  const size_t channels = a.shape.back(), words = (channels + 31) / 32;
  size_t rows = 1;
  for (size_t k = 0; k + 1 < rank; ++k) rows *= a.shape[k];
  std::vector<uint32_t> bits(rows * words, 0xdeadbeefu), expected(bits.size(), 0);
  for (size_t r = 0; r < rows; ++r) {
    const char* row = reinterpret_cast<const char*>(first);
    for (size_t k = rank - 1, rest = r; k-- > 0; rest /= a.shape[k]) row += static_cast<ptrdiff_t>(rest % a.shape[k]) * a.strides[k];
    for (size_t c = 0; c < channels; ++c) {
      const T v = *reinterpret_cast<const T*>(row + static_cast<ptrdiff_t>(c) * a.strides.back());
      if (v >= t[a.per_channel ? c : 0]) expected[r * words + c / 32] |= 1u << (c % 32);
    }
  }
  a.words = bits.data();
  Pool pool(1 + seed % 2);
  pack_array(a, kernel, pool);
  ASSERT_EQ(bits, expected) << "seed " << seed;
}

TEST_P(PackKernelTest, ArraysOfAnyStrides) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    check_array<float>(*GetParam(), seed);
    check_array<int16_t>(*GetParam(), seed);
    check_array<int8_t>(*GetParam(), seed);
    check_array<uint8_t>(*GetParam(), seed);
  }
}

// Arrays larger than a work item.
TEST_P(PackKernelTest, LargeArrays) {
  for (const auto& [rows, channels] : {std::pair<size_t, size_t>{5000, 96}, {3000, 100}, {3, 300000}, {1, 262144 * 3}, {2, 262144 * 4 + 32}}) {
    std::vector<uint8_t> x(rows * channels);
    Random random(3);
    for (uint8_t& v : x) v = static_cast<uint8_t>(random());
    const uint8_t t = 100;
    const size_t words = (channels + 31) / 32;
    std::vector<uint32_t> bits(rows * words), expected(bits.size(), 0);
    for (size_t i = 0; i < x.size(); ++i) expected[i / channels * words + i % channels / 32] |= static_cast<uint32_t>(x[i] >= t) << (i % channels % 32);
    Pool pool(2);
    pack_array({PackType::kU8, x.data(), {rows, channels}, {static_cast<ptrdiff_t>(channels), 1}, &t, false, bits.data()}, *GetParam(), pool);
    ASSERT_EQ(bits, expected) << rows << " x " << channels;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, PackKernelTest, testing::ValuesIn(supported(pack_kernels())), kernel_name<PackKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
