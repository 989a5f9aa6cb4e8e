// Every epilogue against one element-wise oracle: equal bits, no tolerance. UNARY's functions are compared with double precision apart.
#include "chain.h"
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

// A value's storage and the reference to it. Everything starts as a pattern, so that a write out of place shows.
struct Value {
  ValueRef ref;
  std::vector<float> floats;
  std::vector<uint32_t> bits;
  std::vector<uint8_t> bytes;
};

struct Case {
  uint32_t samples, map, channels_all, channel0, channels, stride;
  std::vector<uint32_t> n, p;
  EpilogueTile tile() const { return {{static_cast<uint32_t>(n.size()), n.data(), p.data()}, channel0, channels, stride}; }
};

Case random_case(Random& r, bool whole) {
  Case c;
  c.samples = between(r, 1, 3);
  c.map = between(r, 1, 20);
  if (whole || below(r, 2) == 0) {
    c.channels_all = c.channels = between(r, 1, 140);
    c.channel0 = 0;
  } else {  // a panel of a wider layer
    c.channel0 = 32 * below(r, 3);
    c.channels = below(r, 2) == 0 ? 64 : between(r, 1, 64);
    c.channels_all = c.channels % 32 == 0 ? c.channel0 + c.channels + below(r, 40) : c.channel0 + c.channels;
  }
  c.stride = c.channels + below(r, 3) * 16;
  const uint32_t pixels = between(r, 1, 18);
  if (pixels <= c.map && below(r, 2) == 0) {  // a run
    const uint32_t n = below(r, c.samples), first = below(r, c.map - pixels + 1);
    for (uint32_t i = 0; i < pixels; ++i) c.n.push_back(n), c.p.push_back(first + i);
  } else {  // any distinct pixels
    std::vector<uint32_t> all;
    for (uint32_t i = 0; i < c.samples * c.map; ++i) all.push_back(i);
    std::shuffle(all.begin(), all.end(), r);
    for (uint32_t i = 0; i < pixels && i < all.size(); ++i) c.n.push_back(all[i] / c.map), c.p.push_back(all[i] % c.map);
  }
  return c;
}

Value float_value(Random& r, const Case& c, bool gate) {
  Value v;
  v.ref.pixel_stride = c.channels_all;
  v.ref.sample_stride = static_cast<size_t>(gate ? 1 : c.map) * c.channels_all + 16 * below(r, 2);
  v.floats.resize(c.samples * v.ref.sample_stride);
  for (float& x : v.floats) x = awkward(r);
  return v;
}

Value bits_value(Random& r, const Case& c) {
  Value v;
  v.ref.groups = 1;
  v.ref.group_channels = c.channels_all;
  std::vector<uint32_t> divisors;
  for (uint32_t g = 2; g <= c.channels_all; ++g)
    if (c.channels_all % g == 0 && (c.channel0 == 0 && c.channels == c.channels_all ? true : (c.channels_all / g) % 32 == 0)) divisors.push_back(g);
  if (!divisors.empty() && below(r, 3) != 0) {
    v.ref.groups = divisors[below(r, static_cast<uint32_t>(divisors.size()))];
    v.ref.group_channels = c.channels_all / v.ref.groups;
  }
  v.ref.pixel_stride = static_cast<size_t>(v.ref.groups) * ((v.ref.group_channels + 31) / 32);
  v.ref.sample_stride = (c.map + 1) * v.ref.pixel_stride;
  v.bits.assign(c.samples * v.ref.sample_stride, 0xa5a5a5a5u);
  return v;
}

Value byte_value(Random& r, const Case& c) {
  Value v;
  v.ref.pixel_stride = c.channels_all;
  v.ref.sample_stride = (c.map + 1) * c.channels_all;
  v.ref.zero = below(r, 3) == 0 ? 0 : static_cast<int32_t>(below(r, 256));
  v.bytes.assign(c.samples * v.ref.sample_stride, 0xa5);
  return v;
}

// STORE_U8 in double precision, rounded half to even.
uint8_t quantized(float x, float factor, int32_t zero) {
  const double y = static_cast<double>(x * factor);
  if (std::isnan(y)) return static_cast<uint8_t>(zero);
  return static_cast<uint8_t>(std::min(std::max(std::nearbyint(y) + zero, 0.0), 255.0));
}

// The oracle's view of one bit, and of the tail that a store must clear.
void set_bit(Value& v, uint32_t n, uint32_t p, uint32_t c, bool on) {
  const uint32_t gc = v.ref.group_channels, words = (gc + 31) / 32, in_group = c % gc;
  uint32_t& word = v.bits[n * v.ref.sample_stride + p * v.ref.pixel_stride + (c / gc) * words + in_group / 32];
  const uint32_t bit = in_group % 32;
  word = on ? word | 1u << bit : word & ~(1u << bit);
  if (in_group == gc - 1 && bit < 31) word &= (1u << (bit + 1)) - 1u;
}

struct Chain {
  std::vector<Step> steps;
  std::vector<Value> values;  // of step i, empty where it has none
  std::vector<std::vector<float>> a, b;
  std::vector<std::vector<uint32_t>> flip;

  void point() {  // references into the vectors, which may have moved
    for (size_t i = 0; i < steps.size(); ++i) {
      steps[i].value = values[i].ref;
      Value& v = values[i];
      steps[i].value.data = !v.floats.empty()  ? static_cast<void*>(v.floats.data())
                            : !v.bytes.empty() ? static_cast<void*>(v.bytes.data())
                                               : static_cast<void*>(v.bits.data());
      steps[i].a = a[i].empty() ? nullptr : a[i].data();
      steps[i].b = b[i].empty() ? nullptr : b[i].data();
      steps[i].flip = flip[i].empty() ? nullptr : flip[i].data();
    }
  }
};

// Half of the chains are of a shape that epilogues know (chain.h), and run as such.
std::vector<StepKind> random_kinds(Random& r, bool counts) {
  static const StepKind kinds[] = {StepKind::kAffine, StepKind::kAdd,   StepKind::kPrelu,     StepKind::kClamp,
                                   StepKind::kStore,  StepKind::kUnary, StepKind::kStoreBits, StepKind::kMul, StepKind::kStoreU8};
  std::vector<StepKind> out;
  if (below(r, 2) == 0) {
    for (uint32_t n = between(r, 1, 7); n > 0; --n) out.push_back(kinds[below(r, 9)]);
    out.push_back(StepKind::kStore);
    return out;
  }
  for (uint32_t n = below(r, counts ? 3 : 2); n > 0; --n) out.push_back(StepKind::kAffine);
  if (below(r, 2) == 0) out.push_back(StepKind::kAdd);
  switch (below(r, 3)) {
    case 0: out.push_back(StepKind::kPrelu); break;
    case 1: out.insert(out.end(), {StepKind::kAffine, StepKind::kPrelu, StepKind::kAffine}); break;
    default: break;
  }
  if (below(r, 4) == 0) {
    out.push_back(StepKind::kStoreU8);
    return out;
  }
  const uint32_t stores = between(r, 1, 3);
  if (stores & 1) out.push_back(StepKind::kStore);
  if (stores & 2) out.push_back(StepKind::kStoreBits);
  return out;
}

Chain random_chain(Random& r, const Case& c, bool counts = false) {
  Chain chain;
  const std::vector<StepKind> kinds = random_kinds(r, counts);
  for (size_t i = 0; i < kinds.size(); ++i) {
    Step s{};
    s.kind = kinds[i];
    s.p0 = awkward(r);
    s.p1 = awkward(r);
    Value v;
    std::vector<float> a, b;
    std::vector<uint32_t> flip;
    const auto per_channel = [&] {
      std::vector<float> out;
      if (below(r, 3) != 0)
        for (uint32_t j = 0; j < c.channels_all; ++j) out.push_back(awkward(r));
      return out;
    };
    switch (s.kind) {
      case StepKind::kAffine:
        a = per_channel(), b = per_channel();
        if (i + 1 < kinds.size() && kinds[i + 1] == StepKind::kAffine) b.clear(), s.p1 = 0;                                    // a scale
        if ((i > 0 && kinds[i - 1] == StepKind::kPrelu) || (i + 1 < kinds.size() && kinds[i + 1] == StepKind::kPrelu)) a.clear(), s.p0 = 1;  // a shift
        break;
      case StepKind::kPrelu: a = per_channel(); break;
      case StepKind::kClamp:
        if (std::isnan(s.p0)) s.p0 = -1;
        if (std::isnan(s.p1)) s.p1 = 1;
        if (s.p0 > s.p1) std::swap(s.p0, s.p1);
        break;
      case StepKind::kUnary: s.n = between(r, 1, 9); break;
      case StepKind::kStoreU8: v = byte_value(r, c); break;
      case StepKind::kMul: s.n = below(r, 2); v = float_value(r, c, s.n == 1); break;
      case StepKind::kStoreBits:
        a = per_channel();
        if (below(r, 2) == 0)
          for (uint32_t j = 0; j < (c.channels_all + 31) / 32; ++j) flip.push_back(r());
        v = bits_value(r, c);
        break;
      default: v = float_value(r, c, false);
    }
    chain.steps.push_back(s), chain.values.push_back(v), chain.a.push_back(a), chain.b.push_back(b), chain.flip.push_back(flip);
  }
  return chain;
}

// The function of UNARY as the engine has it (one copy for all epilogues; its accuracy has its own test).
float unary(float x, uint32_t n) {
  Step s{};
  s.kind = StepKind::kUnary;
  s.n = n;
  float out = 0;
  Step store{};
  store.kind = StepKind::kStore;
  store.value.data = &out;
  const uint32_t zero = 0;
  const Step steps[] = {s, store};
  find_epilogue_kernel("portable")->from_float(&x, {{1, &zero, &zero}, 0, 1, 1}, steps, 2);
  return out;
}

void oracle(Chain& chain, const Case& c, const std::vector<float>& x0) {
  for (size_t i = 0; i < c.n.size(); ++i)
    for (uint32_t j = 0; j < c.channels; ++j) {
      float x = x0[i * c.channels + j];
      const uint32_t ch = c.channel0 + j;
      for (size_t k = 0; k < chain.steps.size(); ++k) {
        const Step& s = chain.steps[k];
        Value& v = chain.values[k];
        const float a = chain.a[k].empty() ? s.p0 : chain.a[k][ch];
        const size_t at = c.n[i] * v.ref.sample_stride + c.p[i] * v.ref.pixel_stride + ch;
        switch (s.kind) {
          case StepKind::kAffine: {
            volatile float product = x * a;  // rounded
            x = product + (chain.b[k].empty() ? s.p1 : chain.b[k][ch]);
            break;
          }
          case StepKind::kAdd: x = x + v.floats[at]; break;
          case StepKind::kMul: x = x * v.floats[s.n == 1 ? c.n[i] * v.ref.sample_stride + ch : at]; break;
          case StepKind::kPrelu: x = x >= 0 ? x : a * x; break;
          case StepKind::kClamp:
            if (x < s.p0) x = s.p0;
            if (x > s.p1) x = s.p1;
            break;
          case StepKind::kStore: v.floats[at] = x; break;
          case StepKind::kUnary: x = unary(x, s.n); break;
          case StepKind::kStoreU8: v.bytes[at] = quantized(x, s.p0, v.ref.zero); break;
          case StepKind::kStoreBits: {
            const bool flip = !chain.flip[k].empty() && (chain.flip[k][ch / 32] >> (ch % 32) & 1u) != 0;
            set_bit(v, c.n[i], c.p[i], ch, (x >= a) != flip);
            break;
          }
          default: break;  // THRESHOLD stands alone, i16 steps have their own tests
        }
      }
    }
}

void expect_same(const Chain& got, const Chain& want) {
  for (size_t k = 0; k < got.steps.size(); ++k) {
    ASSERT_EQ(got.values[k].bytes, want.values[k].bytes) << "step " << k;
    ASSERT_EQ(got.values[k].bits, want.values[k].bits) << "step " << k << ", groups " << got.values[k].ref.groups;
    for (size_t i = 0; i < got.values[k].floats.size(); ++i)
      ASSERT_TRUE(same(got.values[k].floats[i], want.values[k].floats[i]))
          << "step " << k << ", kind " << static_cast<uint32_t>(got.steps[k].kind) << ", element " << i << ": " << got.values[k].floats[i]
          << " instead of " << want.values[k].floats[i];
  }
}

class EpilogueTest : public testing::TestWithParam<const EpilogueKernel*> {};

// A buffer of exactly what a tile may read: the last row ends with its real channels.
template <class T>
std::vector<T> rows(const Case& c) {
  return std::vector<T>((c.n.size() - 1) * c.stride + c.channels);
}

TEST_P(EpilogueTest, ChainsFromFloats) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1200; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    const Case c = random_case(r, false);
    Chain got = random_chain(r, c), want = got;
    std::vector<float> x = rows<float>(c), x0;
    for (size_t i = 0; i < c.n.size(); ++i)
      for (uint32_t j = 0; j < c.channels; ++j) x0.push_back(x[i * c.stride + j] = awkward(r));
    oracle(want, c, x0);
    got.point();
    const auto plan = plan_chain(got.steps.data(), got.steps.size(), c.channels_all);
    got.steps[0].plan = plan.get();
    planned += plan != nullptr;
    GetParam()->from_float(x.data(), c.tile(), got.steps.data(), got.steps.size());
    expect_same(got, want);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 200u);
}

template <class Count>
void chains_from_counts(const EpilogueKernel& kernel, void (*run)(const EpilogueKernel&, const Count*, const Case&, const int32_t* const*, int32_t,
                                                                  const Chain&)) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    const Case c = random_case(r, false);
    Chain got = random_chain(r, c, true), want = got;
    const uint32_t limit = sizeof(Count) == 2 ? 65535u : 20000000u;
    const int32_t slope = static_cast<int32_t>(between(r, 1, 3));
    std::vector<std::vector<int32_t>> origins(2, std::vector<int32_t>(c.channels_all));
    for (auto& row : origins)
      for (int32_t& o : row) o = static_cast<int32_t>(below(r, 2 * limit + 1)) - static_cast<int32_t>(limit);
    std::vector<const int32_t*> origin;
    for (size_t i = 0; i < c.n.size(); ++i) origin.push_back(origins[below(r, 2)].data());
    std::vector<Count> counts = rows<Count>(c);
    std::vector<float> x0;
    for (size_t i = 0; i < c.n.size(); ++i)
      for (uint32_t j = 0; j < c.channels; ++j) {
        const uint32_t n = below(r, 8) == 0 ? limit : below(r, limit + 1);
        counts[i * c.stride + j] = static_cast<Count>(n);
        x0.push_back(static_cast<float>(origin[i][c.channel0 + j] - slope * static_cast<int32_t>(n)));
      }
    oracle(want, c, x0);
    got.point();
    const auto plan = plan_chain(got.steps.data(), got.steps.size(), c.channels_all);
    got.steps[0].plan = plan.get();
    planned += plan != nullptr;
    run(kernel, counts.data(), c, origin.data(), slope, got);
    expect_same(got, want);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 100u);
}

TEST_P(EpilogueTest, ChainsFromCounts16) {
  chains_from_counts<uint16_t>(*GetParam(), [](const EpilogueKernel& k, const uint16_t* counts, const Case& c, const int32_t* const* origin,
                                               int32_t slope, const Chain& chain) {
    k.from_counts16(counts, c.tile(), origin, slope, chain.steps.data(), chain.steps.size());
  });
}

TEST_P(EpilogueTest, ChainsFromCounts32) {
  chains_from_counts<uint32_t>(*GetParam(), [](const EpilogueKernel& k, const uint32_t* counts, const Case& c, const int32_t* const* origin,
                                               int32_t slope, const Chain& chain) {
    k.from_counts32(counts, c.tile(), origin, slope, chain.steps.data(), chain.steps.size());
  });
}

TEST_P(EpilogueTest, ChainsFromInt32) {
  uint32_t planned = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    const Case c = random_case(r, false);
    Chain got = random_chain(r, c, true), want = got;
    const uint32_t classes = between(r, 1, 3);
    std::vector<int32_t> rows_of(size_t{classes} * c.channels_all), sums = rows<int32_t>(c);
    for (int32_t& o : rows_of) o = static_cast<int32_t>(r());
    std::vector<const int32_t*> origin(c.n.size());
    for (const int32_t*& o : origin) o = rows_of.data() + size_t{below(r, classes)} * c.channels_all;
    std::vector<float> x0;
    for (size_t i = 0; i < c.n.size(); ++i)
      for (uint32_t j = 0; j < c.channels; ++j) {
        const int32_t sum = sums[i * c.stride + j] = static_cast<int32_t>(r());
        x0.push_back(static_cast<float>(static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(origin[i][c.channel0 + j]))));
      }
    oracle(want, c, x0);
    got.point();
    const auto plan = plan_chain(got.steps.data(), got.steps.size(), c.channels_all);
    got.steps[0].plan = plan.get();
    planned += plan != nullptr;
    GetParam()->from_int32(sums.data(), c.tile(), origin.data(), got.steps.data(), got.steps.size());
    expect_same(got, want);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(planned, 200u);
}

// Every half between two bytes, one step of a float beside it, and what lies far outside.
TEST_P(EpilogueTest, BytesRoundHalfToEven) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (int32_t zero : {0, 1, 128, 255}) {
    std::vector<float> x{inf, -inf, nan, 3e38f, -3e38f, 0.0f, -0.0f};
    for (int32_t q = -260; q <= 260; ++q)
      for (float y : {static_cast<float>(q), static_cast<float>(q) + 0.5f})
        for (float z : {y, std::nextafter(y, -inf), std::nextafter(y, inf)}) x.push_back(z);
    const auto channels = static_cast<uint32_t>(x.size());
    std::vector<uint8_t> out(channels);
    Step store{};
    store.kind = StepKind::kStoreU8;
    store.p0 = 1;
    store.value.data = out.data();
    store.value.zero = zero;
    const uint32_t origin = 0;
    GetParam()->from_float(x.data(), {{1, &origin, &origin}, 0, channels, channels}, &store, 1);
    for (uint32_t c = 0; c < channels; ++c) ASSERT_EQ(out[c], quantized(x[c], 1, zero)) << x[c] << ", zero point " << zero;
  }
}

template <class Count>
void thresholds(const EpilogueKernel& k) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random r(seed);
    const Case c = random_case(r, false);
    Value got = bits_value(r, c), want = got;
    const uint32_t top = sizeof(Count) == 2 ? 65535u : 3000000u;
    std::vector<std::vector<int32_t>> limits(2, std::vector<int32_t>(c.channels_all));
    for (auto& row : limits)
      for (int32_t& l : row) l = below(r, 6) == 0 ? -1 : below(r, 6) == 0 ? static_cast<int32_t>(top) : static_cast<int32_t>(below(r, 40));
    std::vector<const int32_t*> limit;
    for (size_t i = 0; i < c.n.size(); ++i) limit.push_back(limits[below(r, 2)].data());
    std::vector<uint32_t> flip;
    if (below(r, 2) == 0)
      for (uint32_t j = 0; j < (c.channels_all + 31) / 32; ++j) flip.push_back(r());
    std::vector<Count> counts = rows<Count>(c);
    for (size_t i = 0; i < c.n.size(); ++i)
      for (uint32_t j = 0; j < c.channels; ++j) {
        const uint32_t n = below(r, 8) == 0 ? top : below(r, 40);
        const uint32_t ch = c.channel0 + j;
        counts[i * c.stride + j] = static_cast<Count>(n);
        const bool on = static_cast<int64_t>(n) <= limit[i][ch];
        set_bit(want, c.n[i], c.p[i], ch, on != (!flip.empty() && (flip[ch / 32] >> (ch % 32) & 1u) != 0));
      }
    ValueRef out = got.ref;
    out.data = got.bits.data();
    const uint32_t* f = flip.empty() ? nullptr : flip.data();
    if constexpr (sizeof(Count) == 2)
      k.threshold16(counts.data(), c.tile(), limit.data(), f, out);
    else
      k.threshold32(counts.data(), c.tile(), limit.data(), f, out);
    ASSERT_EQ(got.bits, want.bits) << "channels " << c.channels << " of " << c.channels_all << ", groups " << out.groups;
  }
}

TEST_P(EpilogueTest, Thresholds16) { thresholds<uint16_t>(*GetParam()); }
TEST_P(EpilogueTest, Thresholds32) { thresholds<uint32_t>(*GetParam()); }

TEST_P(EpilogueTest, AffineRoundsTwice) {
  // (1 + 2^-12)^2 - 1 - 2^-11: a fused multiply-add gives 2^-24, two roundings give 0.
  const float a = 1.0f + 1.0f / 4096, b = -1.0f - 1.0f / 2048;
  std::vector<float> x(40, a), out(40, 1.0f);
  Step affine{}, store{};
  affine.kind = StepKind::kAffine;
  affine.p0 = a;
  affine.p1 = b;
  store.kind = StepKind::kStore;
  store.value.data = out.data();
  const Step steps[] = {affine, store};
  const uint32_t zero = 0;
  GetParam()->from_float(x.data(), {{1, &zero, &zero}, 0, 40, 40}, steps, 2);
  for (float v : out) ASSERT_EQ(v, 0.0f);
}

TEST(Unary, AgreesWithDoublePrecision) {
  Random r(1);
  for (int i = 0; i < 2000; ++i) {
    const float f = normal(r) * 4;
    const double x = f;
    const double half = 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
    const double want[] = {std::fabs(x), 1 / (1 + std::exp(-x)), std::tanh(x), std::exp(x), std::sqrt(std::fabs(x)), -x,
                           std::fmin(std::fmax(x + 3, 0.0), 6.0) / 6, std::erf(x), x * half};
    for (uint32_t n = 1; n <= 9; ++n)
      ASSERT_NEAR(unary(n == 5 ? std::fabs(f) : f, n), want[n - 1], 1e-6 * std::fmax(1.0, std::fabs(want[n - 1]))) << "function " << n << " of " << x;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (uint32_t n = 1; n <= 9; ++n) EXPECT_TRUE(std::isnan(unary(nan, n))) << "function " << n;
}

INSTANTIATE_TEST_SUITE_P(Kernels, EpilogueTest, testing::ValuesIn(supported(epilogue_kernels())), kernel_name<EpilogueKernel>);

}  // namespace
}  // namespace bitwright::kernels_test
