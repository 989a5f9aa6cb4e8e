// The i16 steps of every epilogue against integers, element by element, written from docs/bwm.md: equal bits, saturation and tails included.
#include "chain.h"
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

int64_t sat(int64_t x) { return std::min<int64_t>(std::max<int64_t>(x, -32768), 32767); }
int64_t rounded(int64_t p, int64_t q) {
  const int64_t twice = p * q + 16384;
  return twice >= 0 ? twice / 32768 : -((-twice + 32767) / 32768);
}

// Integers of all sizes, the extremes strewn in.
int16_t any_short(Random& r, int16_t low = -32768) {
  static const int16_t extremes[] = {-32768, -32767, -1, 0, 1, 32766, 32767};
  const auto x = below(r, 5) == 0 ? extremes[below(r, 7)] : static_cast<int16_t>((static_cast<int32_t>(below(r, 65536)) - 32768) >> below(r, 16));
  return std::max(x, low);
}

struct Fixture {
  uint32_t channels_all, channel0, channels, map, stride, first, pixels;
  std::vector<uint32_t> n, p;
  std::vector<Step> steps;
  std::vector<std::vector<int16_t>> constants, values, want;  // of step i; values: contents of an i16 value
  std::vector<std::vector<uint32_t>> bits, want_bits, flips;
  std::vector<std::vector<float>> reals;  // constants of a float step: a, then b
  std::unique_ptr<const ChainPlan> plan;

  explicit Fixture(Random& r) {
    channel0 = 32 * below(r, 3);
    channels = below(r, 2) == 0 ? 64 * between(r, 1, 2) : between(r, 1, 140);
    channels_all = channels % 32 == 0 ? channel0 + channels + below(r, 40) : channel0 + channels;
    map = between(r, 1, 90);
    pixels = between(r, 1, map);
    first = below(r, map - pixels + 1);
    stride = channels + 16 * below(r, 3);
    for (uint32_t i = 0; i < pixels; ++i) n.push_back(0), p.push_back(first + i);
    if (below(r, 3) == 0) std::shuffle(p.begin(), p.end(), r);
  }

  EpilogueTile tile() const { return {{pixels, n.data(), p.data()}, channel0, channels, stride}; }

  void add(Random& r, StepKind kind, uint32_t shift) {
    Step s{};
    s.kind = kind;
    s.n = shift;
    std::vector<int16_t> constant(2 * (channels_all + 32)), value;
    std::vector<uint32_t> word, flip;
    for (int16_t& x : constant) x = any_short(r, -32767);
    if (kind == StepKind::kBiasI16 || kind == StepKind::kStoreBitsI16)
      for (int16_t& x : constant) x = any_short(r);
    if (kind == StepKind::kClampI16) {
      const int16_t a = any_short(r), b = any_short(r);
      s.p0 = std::min(a, b), s.p1 = std::max(a, b);
    }
    if (kind == StepKind::kAddI16 || kind == StepKind::kStoreI16) {
      value.resize(size_t{map} * channels_all);
      for (int16_t& x : value) x = any_short(r);
      s.value.pixel_stride = channels_all;
    }
    if (kind == StepKind::kStoreBitsI16 || kind == StepKind::kStoreBits) {
      s.value.pixel_stride = (channels_all + 31) / 32;
      word.assign(map * s.value.pixel_stride, 0xa5a5a5a5u);
      if (below(r, 2) == 0)
        for (uint32_t i = 0; i < s.value.pixel_stride; ++i) flip.push_back(r());
    }
    steps.push_back(s), constants.push_back(constant), values.push_back(value), bits.push_back(word), flips.push_back(flip), reals.emplace_back();
  }

  void add_float(Random& r, StepKind kind) {
    add(r, StepKind::kQuantizeI16, 0);  // a step without a value
    Step& s = steps.back();
    s.kind = kind;
    s.p0 = awkward(r), s.p1 = awkward(r);
    if (kind == StepKind::kAdd) {  // of i16
      values.back().resize(size_t{map} * channels_all);
      for (int16_t& x : values.back()) x = any_short(r);
      s.value.pixel_stride = channels_all;
      s.value_scale = std::exp2(static_cast<float>(below(r, 20)) - 12.0f) * 1.37f;
    } else if (below(r, 4) != 0) {
      for (uint32_t k = 0; k < 2 * channels_all; ++k) reals.back().push_back(awkward(r));
    }
  }

  // Float steps, mostly of a shape that epilogues know, and a way to int16.
  void floats(Random& r) {
    if (below(r, 4) != 0) add_float(r, StepKind::kAffine);
    if (below(r, 2) == 0) add_float(r, StepKind::kAdd);
    if (below(r, 2) == 0) add_float(r, StepKind::kPrelu);
    if (below(r, 6) == 0) add_float(r, StepKind::kAffine);
    for (uint32_t k = below(r, 8) / 3; k > 0; --k) {  // epilogues know at most one
      add(r, StepKind::kStoreBits, 0);
      steps.back().p0 = awkward(r);
      for (uint32_t c = 0; c < channels_all && k == 1; ++c) reals.back().push_back(awkward(r));
    }
    add(r, StepKind::kQuantizeI16, 0);
    steps.back().p0 = std::exp2(static_cast<float>(below(r, 30)) - 10.0f) * (1.0f + below(r, 2) * 0.37f);
  }

  void store_bit(size_t k, uint32_t pixel, uint32_t c, bool reached) {
    const Step& s = steps[k];
    const bool on = reached != (s.flip != nullptr && (s.flip[c / 32] >> (c % 32) & 1u) != 0);
    uint32_t& word = want_bits[k][pixel * s.value.pixel_stride + c / 32];
    word = on ? word | 1u << (c % 32) : word & ~(1u << (c % 32));
    if (c == channels_all - 1 && c % 32 < 31) word &= (1u << (c % 32 + 1)) - 1u;
  }

  // The float steps and the way to int16 of element (i, j), then the rest.
  void oracle_from_float(uint32_t i, uint32_t j, float x) {
    const uint32_t c = channel0 + j;
    for (size_t k = 0;; ++k) {
      const Step& s = steps[k];
      const auto real = [&](uint32_t which, float number) { return reals[k].empty() ? number : reals[k][which * channels_all + c]; };
      if (s.kind == StepKind::kAffine) {
        volatile float product = x * real(0, s.p0);  // rounded
        x = product + real(1, s.p1);
      } else if (s.kind == StepKind::kAdd) {
        volatile float product = static_cast<float>(want[k][size_t{p[i]} * channels_all + c]) * s.value_scale;
        x = x + product;
      } else if (s.kind == StepKind::kPrelu) {
        x = x >= 0 ? x : real(0, s.p0) * x;
      } else if (s.kind == StepKind::kStoreBits) {
        store_bit(k, p[i], c, x >= real(0, s.p0));
      } else {
        const float y = x * s.p0;
        const double whole = std::isnan(y) ? 0.0 : std::nearbyint(std::min(std::max(static_cast<double>(y), -32768.0), 32767.0));
        return oracle(i, j, static_cast<int64_t>(whole), k + 1);
      }
    }
  }

  // Half of the chains have a shape that epilogues know.
  void chain(Random& r) {
    static const StepKind kinds[] = {StepKind::kAddI16,   StepKind::kPreluI16, StepKind::kBiasI16,
                                     StepKind::kClampI16, StepKind::kStoreI16, StepKind::kStoreBitsI16};
    if (below(r, 2) == 0) {
      for (uint32_t k = below(r, 6); k > 0; --k) add(r, kinds[below(r, 6)], below(r, 2) == 0 ? 0 : below(r, 16));
      return add(r, StepKind::kStoreI16, 0);
    }
    if (below(r, 2) == 0) add(r, StepKind::kAddI16, 0);
    const uint32_t act = below(r, 3);
    if (act == 2) add(r, StepKind::kBiasI16, 0);
    if (act >= 1) add(r, StepKind::kPreluI16, 0);
    if (act == 2) add(r, StepKind::kBiasI16, 0);
    stores(r);
  }

  void stores(Random& r) {
    const uint32_t which = between(r, 1, 3);
    if (which & 1) add(r, StepKind::kStoreI16, 0);
    if (which & 2) add(r, StepKind::kStoreBitsI16, 0);
  }

  // Steps of floats, then what ends them.
  void from_floats(Random& r) {
    floats(r);
    below(r, 2) == 0 ? stores(r) : chain(r);
    point();
  }

  // Gives the first step its plan; whether the chain has one.
  bool planned() {
    plan = plan_chain(steps.data(), steps.size(), channels_all);
    steps[0].plan = plan.get();
    return plan != nullptr;
  }

  void point() {
    for (size_t k = 0; k < steps.size(); ++k) {
      steps[k].a16 = constants[k].data();
      steps[k].b16 = constants[k].data() + channels_all + 32;
      if (!reals[k].empty()) steps[k].a = reals[k].data(), steps[k].b = reals[k].data() + channels_all;
      steps[k].value.data = values[k].empty() ? static_cast<void*>(bits[k].data()) : static_cast<void*>(values[k].data());
      steps[k].flip = flips[k].empty() ? nullptr : flips[k].data();
    }
    want = values;
    want_bits = bits;
  }

  // Element (i, j), from step `begin` on.
  void oracle(uint32_t i, uint32_t j, int64_t x, size_t begin) {
    const uint32_t c = channel0 + j;
    for (size_t k = begin; k < steps.size(); ++k) {
      const Step& s = steps[k];
      const size_t at = size_t{p[i]} * channels_all + c;
      const int64_t a = s.a16[c], b = s.b16[c];
      switch (s.kind) {
        case StepKind::kAddI16: x = sat(x + want[k][at]); break;
        case StepKind::kPreluI16: x = x >= 0 ? x : sat(rounded(x, a) * (int64_t{1} << s.n)); break;
        case StepKind::kBiasI16: x = sat(x + b); break;
        case StepKind::kClampI16: x = std::min(std::max(x, static_cast<int64_t>(s.p0)), static_cast<int64_t>(s.p1)); break;
        case StepKind::kStoreI16: want[k][at] = static_cast<int16_t>(x); break;
        case StepKind::kStoreBitsI16: {
          store_bit(k, p[i], c, x >= a);
          break;
        }
        default: FAIL() << "no step of this test";
      }
    }
  }

  void expect() const {
    for (size_t k = 0; k < steps.size(); ++k) {
      ASSERT_EQ(values[k], want[k]) << "step " << k << " of " << steps.size() << ", channels " << channel0 << " + " << channels;
      ASSERT_EQ(bits[k], want_bits[k]) << "step " << k << " of " << steps.size() << ", channels " << channel0 << " + " << channels;
    }
  }
};

class FixedEpilogueTest : public testing::TestWithParam<const EpilogueKernel*> {};

TEST_P(FixedEpilogueTest, FromShorts) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    Fixture f(r);
    f.chain(r);
    f.point();
    planned += f.planned();
    std::vector<int16_t> x((f.pixels - 1) * f.stride + f.channels);
    for (int16_t& v : x) v = any_short(r);
    for (uint32_t i = 0; i < f.pixels; ++i)
      for (uint32_t j = 0; j < f.channels; ++j) f.oracle(i, j, x[i * f.stride + j], 0);
    GetParam()->from_i16(x.data(), f.tile(), f.steps.data(), f.steps.size());
    f.expect();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 300u);
}

TEST_P(FixedEpilogueTest, FromCounts) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    Fixture f(r);
    const uint32_t before = below(r, 10), after = below(r, 3) == 0 ? below(r, 16) : 0;
    f.add(r, StepKind::kFixed, before | after << 8);
    f.chain(r);
    f.point();
    planned += f.planned();
    // acc = origin - slope * count lies in [-most, most] and most << before fits.
    const auto slope = static_cast<int32_t>(between(r, 1, 2));
    const int32_t most = 32767 >> before;
    std::vector<std::vector<int32_t>> origins(2, std::vector<int32_t>(f.channels_all + 32));
    for (auto& row : origins)
      for (int32_t& o : row) o = static_cast<int32_t>(below(r, static_cast<uint32_t>(most) + 1));
    std::vector<const int32_t*> origin;
    for (uint32_t i = 0; i < f.pixels; ++i) origin.push_back(origins[below(r, 4) == 0].data());
    std::vector<uint16_t> counts((f.pixels - 1) * f.stride + f.channels);
    for (uint32_t i = 0; i < f.pixels; ++i)
      for (uint32_t j = 0; j < f.channels; ++j) {
        const int32_t o = origin[i][f.channel0 + j], farthest = (o + most) / slope;
        const uint32_t count = below(r, 4) == 0 ? static_cast<uint32_t>(farthest) : below(r, static_cast<uint32_t>(farthest) + 1);
        counts[i * f.stride + j] = static_cast<uint16_t>(count);
        const int64_t exact = o - int64_t{slope} * count;
        const uint32_t c = f.channel0 + j;
        const int64_t x = sat(sat(rounded(exact * (int64_t{1} << before), f.steps[0].a16[c]) * (int64_t{1} << after)) + f.steps[0].b16[c]);
        f.oracle(i, j, x, 1);
      }
    GetParam()->from_counts16(counts.data(), f.tile(), origin.data(), slope, f.steps.data(), f.steps.size());
    f.expect();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 300u);
}

TEST_P(FixedEpilogueTest, FromFloats) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1300; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    Fixture f(r);
    f.from_floats(r);
    planned += f.planned();
    std::vector<float> x((f.pixels - 1) * f.stride + f.channels);
    for (float& v : x) v = awkward(r) * (below(r, 2) == 0 ? 0.5f : 1.0f);
    for (uint32_t i = 0; i < f.pixels; ++i)
      for (uint32_t j = 0; j < f.channels; ++j) f.oracle_from_float(i, j, x[i * f.stride + j]);
    GetParam()->from_float(x.data(), f.tile(), f.steps.data(), f.steps.size());
    f.expect();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 300u);
}

// Sums of int8 convolutions, and counts whose chain begins with floats.
TEST_P(FixedEpilogueTest, FromSumsByFloats) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    Fixture f(r);
    f.from_floats(r);
    planned += f.planned();
    const bool counts = seed % 2 == 0;
    const auto slope = static_cast<int32_t>(between(r, 1, 2));
    std::vector<std::vector<int32_t>> origins(2, std::vector<int32_t>(f.channels_all));
    for (auto& row : origins)
      for (int32_t& o : row) o = static_cast<int32_t>(r()) >> (counts ? 14 : below(r, 24));
    std::vector<const int32_t*> origin;
    for (uint32_t i = 0; i < f.pixels; ++i) origin.push_back(origins[below(r, 4) == 0].data());
    const size_t elements = (f.pixels - 1) * f.stride + f.channels;
    std::vector<int32_t> sums(elements);
    std::vector<uint16_t> shorts(elements);
    for (uint32_t i = 0; i < f.pixels; ++i)
      for (uint32_t j = 0; j < f.channels; ++j) {
        const int32_t o = origin[i][f.channel0 + j];
        const auto sum = sums[i * f.stride + j] = static_cast<int32_t>(r()) >> below(r, 24);
        const auto count = shorts[i * f.stride + j] = static_cast<uint16_t>(r());
        const auto wrapped = static_cast<int32_t>(static_cast<uint32_t>(o) + static_cast<uint32_t>(sum));
        f.oracle_from_float(i, j, static_cast<float>(counts ? o - slope * count : wrapped));
      }
    if (counts)
      GetParam()->from_counts16(shorts.data(), f.tile(), origin.data(), slope, f.steps.data(), f.steps.size());
    else
      GetParam()->from_int32(sums.data(), f.tile(), origin.data(), f.steps.data(), f.steps.size());
    f.expect();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 400u);
}

INSTANTIATE_TEST_SUITE_P(Kernels, FixedEpilogueTest, testing::ValuesIn(supported(epilogue_kernels())), kernel_name<EpilogueKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
