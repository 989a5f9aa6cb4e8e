// What an epilogue adds to the binary convolution of a ResNet-18 layer: the counts alone, with a threshold, with the fused float chain (AFFINE, ADD,
// PRELU, STORE, STORE_BITS), interpreted and planned, and with the same chain on int16 (FIXED, ADD_I16, PRELU_I16, STORE_I16, STORE_BITS_I16); the last two also by kernels that
// take chains in registers. All of them in turn, pass by pass, in one process; medians; the extra over the counts in percent. One thread.
//
//   bitwright_epilogue_bench [ISA] [passes]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "chain.h"
#include "kernel.h"

using namespace bitwright;

namespace {

struct Layer {
  const char* name;
  uint32_t size, channels, outputs, kernel, stride;
  uint32_t out_size() const { return (size + stride - 1) / stride; }
  uint32_t pixels() const { return out_size() * out_size(); }
};

const Layer layers[] = {
    {"3x3 56x56 64>64", 56, 64, 64, 3, 1},     {"3x3 28x28 128>128", 28, 128, 128, 3, 1}, {"3x3 14x14 256>256", 14, 256, 256, 3, 1},
    {"3x3 7x7 512>512", 7, 512, 512, 3, 1},    {"1x1 56x56 128>128", 56, 128, 128, 1, 1}, {"1x1 28x28 256>256", 28, 256, 256, 1, 1},
    {"1x1 14x14 512>512", 14, 512, 512, 1, 1}, {"1x1 7x7 1024>1024", 7, 1024, 1024, 1, 1},
};

template <class T>
class Aligned {
 public:
  explicit Aligned(size_t n, T value = T{}) : data_(static_cast<T*>(::operator new((n + 64) * sizeof(T), std::align_val_t{64}))) {
    std::fill(data_, data_ + n + 64, value);
  }
  ~Aligned() { ::operator delete(data_, std::align_val_t{64}); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

enum Mode { kCounts, kThreshold, kInterpreted, kFloat, kFixed, kFloatTile, kFixedTile, kModes };
const char* const mode_names[] = {"counts", "threshold", "f32 steps", "f32", "i16", "f32 tile", "i16 tile"};

template <class T>
ValueRef ref(const Aligned<T>& v, uint32_t stride) {
  ValueRef r;
  r.data = v.data();
  r.pixel_stride = stride;
  return r;
}

struct Problem {
  const BinaryKernel& k;
  const EpilogueKernel& e;
  Layer l;
  uint32_t words, taps, panels, c;
  size_t panel_bytes;
  Aligned<uint32_t> input;
  Aligned<unsigned char> packed, in_order;
  std::vector<int32_t> table;
  std::vector<const uint32_t*> base;
  std::vector<const int32_t*> offset, rows;
  std::vector<uint32_t> n, p;
  Aligned<uint16_t> counts;
  Aligned<uint32_t> bits;
  Aligned<float> a, residual, out;
  Aligned<int16_t> a16, residual16, out16;
  Aligned<int32_t> row;
  std::vector<const float*> float_rows;
  std::vector<const int16_t*> short_rows;
  std::vector<Step> floats, fixed;
  std::unique_ptr<const ChainPlan> float_plan, fixed_plan;

  Problem(const BinaryKernel& kernel, const EpilogueKernel& epilogue, const Layer& layer)
      : k(kernel), e(epilogue), l(layer), words((l.channels + 31) / 32), taps(l.kernel * l.kernel), panels((l.outputs + k.panel - 1) / k.panel), c(l.outputs),
        panel_bytes(k.panel_bytes(taps, words)), input(size_t{l.size * l.size + 1} * words), packed(panel_bytes * panels), in_order(panel_bytes * panels), base(l.pixels(), input.data()),
        n(l.pixels(), 0), counts(size_t{128} * k.panel), bits(size_t{l.pixels()} * ((c + 31) / 32)), a(c, 0.01f), residual(size_t{l.pixels()} * c, 0.25f),
        out(size_t{l.pixels()} * c), a16(c, 900), residual16(size_t{l.pixels()} * c, 99), out16(size_t{l.pixels()} * c),
        row(c, static_cast<int32_t>(taps * l.channels)) {
    std::mt19937 random(1);
    std::vector<uint32_t> weights(size_t{c} * taps * words);
    for (uint32_t& w : weights) w = random();
    for (size_t i = 0; i < size_t{l.size * l.size + 1} * words; ++i) input.data()[i] = random();
    k.pack(packed.data(), weights.data(), c, taps, words);
    if (k.pack_in_order) k.pack_in_order(in_order.data(), weights.data(), c, taps, words);
    const auto size = static_cast<int32_t>(l.size), pad = static_cast<int32_t>(l.kernel / 2);
    for (uint32_t y = 0; y < l.out_size(); ++y)
      for (uint32_t x = 0; x < l.out_size(); ++x)
        for (uint32_t ky = 0; ky < l.kernel; ++ky)
          for (uint32_t kx = 0; kx < l.kernel; ++kx) {
            const int32_t iy = static_cast<int32_t>(y * l.stride + ky) - pad, ix = static_cast<int32_t>(x * l.stride + kx) - pad;
            const bool inside = iy >= 0 && iy < size && ix >= 0 && ix < size;
            table.push_back((inside ? iy * size + ix : size * size) * static_cast<int32_t>(words));
          }
    for (uint32_t i = 0; i < l.pixels(); ++i) offset.push_back(table.data() + size_t{i} * taps), p.push_back(i);
    rows.assign(l.pixels(), row.data());
    float_rows.assign(k.mr, a.data());
    short_rows.assign(k.mr, a16.data());
    const ValueRef word = ref(bits, (c + 31) / 32);
    floats.resize(5);
    floats[0].kind = StepKind::kAffine, floats[0].a = a.data(), floats[0].b = a.data();
    floats[1].kind = StepKind::kAdd, floats[1].value = ref(residual, c);
    floats[2].kind = StepKind::kPrelu, floats[2].a = a.data();
    floats[3].kind = StepKind::kStore, floats[3].value = ref(out, c);
    floats[4].kind = StepKind::kStoreBits, floats[4].a = a.data(), floats[4].value = word;
    fixed.resize(5);
    fixed[0].kind = StepKind::kFixed, fixed[0].a16 = a16.data(), fixed[0].b16 = a16.data(), fixed[0].n = 2;
    fixed[1].kind = StepKind::kAddI16, fixed[1].value = ref(residual16, c);
    fixed[2].kind = StepKind::kPreluI16, fixed[2].a16 = a16.data();
    fixed[3].kind = StepKind::kStoreI16, fixed[3].value = ref(out16, c);
    fixed[4].kind = StepKind::kStoreBitsI16, fixed[4].a16 = a16.data(), fixed[4].value = word;
    float_plan = plan_chain(floats.data(), floats.size(), c);
    fixed_plan = plan_chain(fixed.data(), fixed.size(), c);
  }

  static constexpr uint32_t group = 112;  // pixels that an epilogue gets at a time
  // One pass over the layer, cut as the executor does it: panels outside, tiles inside.
  void pass(Mode mode) {
    std::vector<Step>& steps = mode == kFixed ? fixed : floats;
    steps[0].plan = mode == kFloat ? float_plan.get() : mode == kFixed ? fixed_plan.get() : nullptr;
    constexpr uint32_t kChunk = 112;
    for (uint32_t first = 0; first < l.pixels(); first += kChunk)
      for (uint32_t panel = 0; panel < panels; ++panel)
        for (uint32_t i = first, end = std::min(first + kChunk, l.pixels()), pixels = 0; i < end; i += pixels) {
          const uint32_t channel = panel * k.panel;
          if (mode == kFloatTile || mode == kFixedTile) {
            pixels = std::min(k.mr, end - i);
            const BinaryTile tile{base.data() + i, offset.data() + i, pixels, taps, words, (mode == kFloatTile ? in_order : packed).data() + panel * panel_bytes, true};
            const size_t at = size_t{i} * c + channel, word = size_t{i} * ((c + 31) / 32) + channel / 32;
            const float* f = a.data() + channel;
            const int16_t* s = a16.data() + channel;
            if (mode == kFloatTile)
              k.floats(tile, {float_rows.data(), 1, nullptr, f, f, nullptr, f, nullptr, f, residual.data() + at, out.data() + at, bits.data() + word, nullptr, c, (c + 31) / 32});
            else
              k.shorts(tile, {short_rows.data(), s, s, nullptr, s, nullptr, s, residual16.data() + at, out16.data() + at, bits.data() + word, nullptr, c, (c + 31) / 32, 2, 0});
            continue;
          }
          pixels = std::min(group, end - i);
          for (uint32_t at = 0; at < pixels; at += k.mr)
            k.count16(counts.data() + at * k.panel,
                      {base.data() + i + at, offset.data() + i + at, std::min(k.mr, pixels - at), taps, words, packed.data() + panel * panel_bytes});
          if (mode == kCounts) continue;
          const EpilogueTile t{{pixels, n.data() + i, p.data() + i}, channel, std::min(k.panel, c - channel), k.panel};
          if (mode == kThreshold)
            e.threshold16(counts.data(), t, rows.data() + i, nullptr, floats[4].value);
          else
            e.from_counts16(counts.data(), t, rows.data() + i, 2, steps.data(), steps.size());
        }
  }
};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

int main(int argc, char** argv) {
  const char* isa = argc > 1 ? argv[1] : nullptr;
  const int passes = argc > 2 ? std::atoi(argv[2]) : 301;
  const BinaryKernel* k = find_binary_kernel(isa);
  const EpilogueKernel* e = find_epilogue_kernel(isa);
  if (k == nullptr || e == nullptr || passes < 1) {
    std::fprintf(stderr, "usage: %s [ISA that this CPU has] [passes]\n", argv[0]);
    return 2;
  }
  std::printf("%s, %s; medians of %d passes in turn, us\n%-20s %9s", k->name, e->name, passes, "layer", mode_names[0]);
  for (int m = 1; m < kModes; ++m) std::printf(" %9s %7s", mode_names[m], "extra");
  std::printf("\n");
  for (const Layer& l : layers) {
    Problem problem(*k, *e, l);
    std::vector<double> times[kModes];
    for (int pass = 0; pass < passes; ++pass)
      for (int m = 0; m < (k->floats ? kModes : kFloatTile); ++m) {
        const double start = seconds();
        problem.pass(static_cast<Mode>(m));
        times[m].push_back((seconds() - start) * 1e6);
      }
    const int modes = k->floats ? kModes : kFloatTile;
    double median[kModes];
    for (int m = 0; m < modes; ++m) {
      std::nth_element(times[m].begin(), times[m].begin() + passes / 2, times[m].end());
      median[m] = times[m][static_cast<size_t>(passes / 2)];
    }
    std::printf("%-20s %9.1f", l.name, median[0]);
    for (int m = 1; m < modes; ++m) std::printf(" %9.1f %6.1f%%", median[m], 100 * (median[m] / median[0] - 1));
    std::printf("\n");
  }
  return 0;
}
