// Pooling kernels against plain loops over the window's elements; the axes of a pooling against its definition.
#include "kernels_common.h"
#include "pool_axes.h"

namespace bitwright::kernels_test {
namespace {

class PoolKernelTest : public testing::TestWithParam<const PoolKernel*> {};

// Windows that may overlap, in a map that ends with the last element that any of them reads.
struct Problem {
  PoolWindows w{};
  PoolFinish finish;
  size_t elements = 0;
  explicit Problem(Random& r) {
    w.channels = below(r, 3) == 0 ? 64 * between(r, 1, 3) : between(r, 1, 300);
    w.windows = between(r, 1, 5);
    const auto step = [&] { return w.channels * between(r, 1, 4) + below(r, 3); };
    w.next = step();
    size_t last = (w.windows - 1) * w.next + w.channels;
    const uint32_t usual = between(r, 1, 4);  // 2 x 2 and 3 x 3 have loops of their own
    for (int axis = 0; axis < 3; ++axis) {
      w.count[axis] = usual == 2 || usual == 3 ? (axis == 0 ? 1 : usual) : between(r, 1, axis == 0 ? 2 : 4);
      w.stride[axis] = step();
      last += (w.count[axis] - 1) * w.stride[axis];
    }
    elements = last;
    finish.zero = static_cast<int32_t>(below(r, 600)) - 300;
    finish.scale = std::ldexp(static_cast<float>(between(r, 1, 1000)), -9);
    finish.divisor = static_cast<float>(between(r, 1, 30));
  }
};

// join(accumulator, element), finish(accumulator)
template <class Element, class Out, class Start, class Join, class Finish>
void check(PoolFn run, uint32_t seed, const Start& element, const Join& join, const Finish& finish) {
  Random r(seed);
  Problem problem(r);
  Aligned<Element> map(problem.elements + 1);
  const size_t off = below(r, 2);  // any alignment of elements
  Element* x = map.data() + off;
  for (size_t i = 0; i + off < problem.elements + 1 && i < problem.elements; ++i) x[i] = element(r);
  PoolWindows& w = problem.w;
  w.x = x;
  Aligned<Out> out(size_t{w.windows} * w.channels);
  run(out.data(), w, problem.finish);
  for (uint32_t i = 0; i < w.windows; ++i)
    for (uint32_t c = 0; c < w.channels; ++c) {
      const Element* at = x + i * w.next + c;
      auto acc = join(decltype(join(0, *at, true)){}, *at, true);
      for (uint32_t d = 0; d < w.count[0]; ++d)
        for (uint32_t h = 0; h < w.count[1]; ++h)
          for (uint32_t k = 0; k < w.count[2]; ++k)
            if (d + h + k > 0) acc = join(acc, at[d * w.stride[0] + h * w.stride[1] + k * w.stride[2]], false);
      const Out want = finish(acc, problem.finish), got = out.data()[size_t{i} * w.channels + c];
      ASSERT_TRUE(same(static_cast<float>(got), static_cast<float>(want)))
          << "seed " << seed << ", window " << i << ", channel " << c << " of " << w.channels << ": " << got << " instead of " << want;
    }
}

template <class Acc>
auto maximum() {
  return [](Acc acc, Acc x, bool first) { return first || x > acc || x != x ? x : acc; };
}
template <class Acc>
auto sum() {
  return [](Acc acc, Acc x, bool first) { return first ? x : acc + x; };
}
auto real() {
  return [](int32_t q, const PoolFinish& f) { return static_cast<float>(q - f.zero) * f.scale; };
}
auto mean() {
  return [](int32_t q, const PoolFinish& f) {
    const float x = static_cast<float>(q - f.zero) * f.scale;
    return x / f.divisor;
  };
}

TEST_P(PoolKernelTest, EqualPlainLoops) {
  const PoolKernel& k = *GetParam();
  const auto number = [](Random& r) { return awkward(r); };
  const auto finite = [](Random& r) { return below(r, 20) == 0 ? -0.0f : normal(r); };
  const auto any16 = [](Random& r) { return static_cast<int16_t>(below(r, 8) == 0 ? (below(r, 2) ? 32767 : -32768) : static_cast<int>(below(r, 65536)) - 32768); };
  const auto any8 = [](Random& r) { return static_cast<uint8_t>(r()); };
  const auto itself = [](auto x, const PoolFinish&) { return x; };
  for (uint32_t seed = 0; seed < 300; ++seed) {
    check<float, float>(k.max_f32, seed, number, maximum<float>(), itself);
    check<float, float>(k.mean_f32, seed, finite, sum<float>(), [](float x, const PoolFinish& f) { return x / f.divisor; });
    check<int16_t, int16_t>(k.max_i16, seed, any16, maximum<int16_t>(), itself);
    check<int16_t, float>(k.max_i16_to_f32, seed, any16, maximum<int16_t>(), real());
    check<int16_t, float>(k.mean_i16, seed, any16, sum<int32_t>(), mean());
    check<uint8_t, float>(k.max_u8, seed, any8, maximum<uint8_t>(), real());
    check<uint8_t, float>(k.mean_u8, seed, any8, sum<int32_t>(), mean());
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, PoolKernelTest, testing::ValuesIn(supported(pool_kernels())), kernel_name<PoolKernel>);

TEST(PoolAxes, EqualTheDefinition) {
  Random r(1);
  for (int round = 0; round < 2000; ++round) {
    Geometry g;
    std::array<uint32_t, 3> size{1, 1, 1}, out{1, 1, 1};
    for (int axis = 0; axis < 3; ++axis) {
      const auto a = static_cast<size_t>(axis);
      size[a] = between(r, 1, 12);
      g.kernel[axis] = between(r, 1, 4);
      g.stride[axis] = between(r, 1, 3);
      g.dilation[axis] = between(r, 1, 2);
      g.pad_begin[axis] = below(r, 4);
      g.pad_end[axis] = below(r, 4);
      out[a] = between(r, 1, 12);
    }
    const PoolAxes axes = pool_axes(g, size, out);
    for (int axis = 0; axis < 3; ++axis) {
      const auto a = static_cast<size_t>(axis);
      ASSERT_EQ(axes[a].size(), out[a]);
      for (uint32_t o = 0; o < out[a]; ++o) {
        uint32_t count = 0, padded = 0, first = 0;
        for (uint32_t k = 0; k < g.kernel[axis]; ++k) {
          const int64_t at = int64_t{o} * g.stride[axis] - g.pad_begin[axis] + int64_t{k} * g.dilation[axis];
          if (at < static_cast<int64_t>(size[a]) + g.pad_end[axis]) ++padded;
          if (at < 0 || at >= static_cast<int64_t>(size[a])) continue;
          if (count++ == 0) first = static_cast<uint32_t>(at);
        }
        const PoolWindow& w = axes[a][o];
        ASSERT_EQ(w.count, count);
        ASSERT_EQ(w.padded, padded);
        if (count > 0) {
          ASSERT_EQ(w.first, first);
        }
        ASSERT_GE(w.alike, 1u);
        ASSERT_LE(o + w.alike, out[a]);
        for (uint32_t i = 1; i < w.alike; ++i) {
          ASSERT_EQ(axes[a][o + i].first, w.first + i * g.stride[axis]);
          ASSERT_EQ(axes[a][o + i].count, w.count);
          ASSERT_EQ(axes[a][o + i].padded, w.padded);
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitwright::kernels_test
