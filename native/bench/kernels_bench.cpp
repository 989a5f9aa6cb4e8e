// Every kernel that this CPU has, at the shapes of ResNet-18: binary convolution with counts, with a threshold and with the fused float epilogue
// (AFFINE, ADD, PRELU, STORE, STORE_BITS); float convolution. Other files of this folder add theirs. One thread. GMAC/s is 1e9 multiply-accumulates a second (1 MAC = 2
// operations); divide by the clock in GHz for MAC/cycle.
//
//   bitwright_bench --benchmark_filter=bconv_avx2
#include <benchmark/benchmark.h>

#include <algorithm>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "classic_popcount.h"
#include "kernel.h"
#include "pool_bench.h"

using namespace bitwright;

namespace {

struct Layer {
  const char* name;
  uint32_t size, channels, outputs, kernel, stride;  // size of the input map; padding kernel / 2
  uint32_t out_size() const { return (size + stride - 1) / stride; }
  uint32_t pixels() const { return out_size() * out_size(); }
  uint32_t taps() const { return kernel * kernel; }
  double macs() const { return static_cast<double>(pixels()) * outputs * taps() * channels; }
};

const Layer binary_layers[] = {
    {"3x3_56x56_64_64", 56, 64, 64, 3, 1},     {"3x3_56x56_64_128_s2", 56, 64, 128, 3, 2},
    {"3x3_28x28_128_128", 28, 128, 128, 3, 1}, {"3x3_28x28_128_256_s2", 28, 128, 256, 3, 2},
    {"3x3_14x14_256_256", 14, 256, 256, 3, 1}, {"3x3_14x14_256_512_s2", 14, 256, 512, 3, 2},
    {"3x3_7x7_512_512", 7, 512, 512, 3, 1},    {"1x1_28x28_256_256", 28, 256, 256, 1, 1},
    {"1x1_56x56_64_64", 56, 64, 64, 1, 1},     {"1x1_56x56_128_128", 56, 128, 128, 1, 1},
    {"3x3_28x28_64_16", 28, 64, 16, 3, 1},     {"3x3_28x28_64_32", 28, 64, 32, 3, 1},
    {"3x3_28x28_64_96", 28, 64, 96, 3, 1},     {"3x3_28x28_32_32", 28, 32, 32, 3, 1},
    {"1x1_1x1_4096_1024", 1, 4096, 1024, 1, 1}, {"1x1_12x12_4096_192", 12, 4096, 192, 1, 1},
};

const Layer float_layers[] = {
    {"stem_7x7_224x224_3_64_s2", 224, 3, 64, 7, 2}, {"stem_3x3_28x28_1_32", 28, 1, 32, 3, 1}, {"1x1_28x28_64_128", 28, 64, 128, 1, 1},
    {"1x1_14x14_256_512", 14, 256, 512, 1, 1},      {"3x3_56x56_64_64", 56, 64, 64, 3, 1},    {"3x3_14x14_256_256", 14, 256, 256, 3, 1},
};

// Values, constants and panels lie on cache lines in the engine.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}  // NOLINT: conversion is what an allocator needs
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t{64}); }
  bool operator==(const Aligned&) const { return true; }
  bool operator!=(const Aligned&) const { return false; }
};
template <class T>
using Buffer = std::vector<T, Aligned<T>>;

// The indirection table of a layer; `elements` of a pixel (words or floats). A tap in the padding is `padding`, or an extra pixel if that is 0.
std::vector<int32_t> indirection(const Layer& l, uint32_t elements, int32_t padding) {
  std::vector<int32_t> out;
  const int32_t size = static_cast<int32_t>(l.size), pad = static_cast<int32_t>(l.kernel / 2);
  for (uint32_t y = 0; y < l.out_size(); ++y)
    for (uint32_t x = 0; x < l.out_size(); ++x)
      for (uint32_t ky = 0; ky < l.kernel; ++ky)
        for (uint32_t kx = 0; kx < l.kernel; ++kx) {
          const int32_t iy = static_cast<int32_t>(y * l.stride + ky) - pad, ix = static_cast<int32_t>(x * l.stride + kx) - pad;
          const bool inside = iy >= 0 && iy < size && ix >= 0 && ix < size;
          out.push_back(inside ? (iy * size + ix) * static_cast<int32_t>(elements)
                               : padding != 0 ? padding : size * size * static_cast<int32_t>(elements));
        }
  return out;
}

template <class T>
std::vector<const T*> row_pointers(const std::vector<T>& table, uint32_t rows, uint32_t width) {
  std::vector<const T*> out;
  for (uint32_t i = 0; i < rows; ++i) out.push_back(table.data() + static_cast<size_t>(i) * width);
  return out;
}

// The pixels of a layer of one sample, and the values that an epilogue reads and writes.
struct Map {
  std::vector<uint32_t> n, p;
  Buffer<uint32_t> bits;
  Buffer<float> a, b, residual, out;
  Buffer<int32_t> row;
  std::vector<const int32_t*> rows;
  explicit Map(const Layer& l)
      : n(l.pixels(), 0), bits(static_cast<size_t>(l.pixels()) * ((l.outputs + 31) / 32)), a(l.outputs, 0.01f), b(l.outputs, 0.5f),
        residual(static_cast<size_t>(l.pixels()) * l.outputs, 0.25f), out(residual.size()),
        row(l.outputs + 256, static_cast<int32_t>(l.taps() * l.channels / 2)), rows(l.pixels(), row.data()) {
    for (uint32_t i = 0; i < l.pixels(); ++i) p.push_back(i);
  }
  std::vector<Step> fused() {
    const auto float_ref = [&](Buffer<float>& v) {
      ValueRef r;
      r.data = v.data();
      r.pixel_stride = a.size();
      return r;
    };
    std::vector<Step> s(5);
    s[0].kind = StepKind::kAffine, s[0].a = a.data(), s[0].b = b.data();
    s[1].kind = StepKind::kAdd, s[1].value = float_ref(residual);
    s[2].kind = StepKind::kPrelu, s[2].a = a.data();
    s[3].kind = StepKind::kStore, s[3].value = float_ref(out);
    s[4].kind = StepKind::kStoreBits, s[4].a = b.data(), s[4].value = bits_ref();
    return s;
  }
  ValueRef bits_ref() {
    ValueRef r;
    r.data = bits.data();
    r.pixel_stride = (a.size() + 31) / 32;
    return r;
  }
};

void report(benchmark::State& state, double macs) {
  state.counters["GMAC/s"] = benchmark::Counter(macs * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

enum class Then { kNothing, kThreshold, kBits, kFused };

void bench_binary(benchmark::State& state, const BinaryKernel* k, const EpilogueKernel* e, Layer l, Then then) {
  std::mt19937 random(1);
  const uint32_t words = (l.channels + 31) / 32, taps = l.taps(), panels = (l.outputs + k->panel - 1) / k->panel;
  Buffer<uint32_t> input(static_cast<size_t>(l.size * l.size + 1) * words), weights(static_cast<size_t>(l.outputs) * taps * words);
  for (uint32_t& w : input) w = random();
  for (uint32_t& w : weights) w = random();
  const std::vector<int32_t> table = indirection(l, words, 0);
  const std::vector<const int32_t*> offset = row_pointers(table, l.pixels(), taps);
  const std::vector<const uint32_t*> base(l.pixels(), input.data());
  const size_t bytes = k->panel_bytes(taps, words);
  Buffer<unsigned char> packed(bytes * panels);
  k->pack(packed.data(), weights.data(), l.outputs, taps, words);
  Buffer<uint16_t> counts(static_cast<size_t>(k->mr) * k->panel);
  Map map(l);
  const std::vector<Step> steps = map.fused();
  const ValueRef bits = map.bits_ref();
  std::vector<uint32_t*> out;
  for (uint32_t i = 0; i < l.pixels(); ++i) out.push_back(map.bits.data() + i * bits.pixel_stride);
  std::vector<const int32_t*> limit(l.pixels());
  std::vector<uint32_t*> words_out(l.pixels());
  for (auto _ : state)
    for (uint32_t panel = 0; panel < panels; ++panel)
      for (uint32_t i = 0, pixels; i < l.pixels(); i += pixels) {
        const uint32_t left = l.pixels() - i, tiles = (left + k->mr - 1) / k->mr, c = panel * k->panel;
        pixels = (left + tiles - 1) / tiles;  // as the executor cuts
        if (then == Then::kBits) {
          for (uint32_t j = 0; j < pixels; ++j) limit[j] = map.rows[i + j] + c, words_out[j] = out[i + j] + c / 32;
          k->bits({base.data() + i, offset.data() + i, pixels, taps, words, packed.data() + panel * bytes, true},
                  {limit.data(), nullptr, words_out.data(), std::min(k->panel, l.outputs - c), 0, bits.pixel_stride});
          continue;
        }
        k->count16(counts.data(), {base.data() + i, offset.data() + i, pixels, taps, words, packed.data() + panel * bytes, true});
        if (then == Then::kNothing) {
          benchmark::DoNotOptimize(counts.data());
          continue;
        }
        const EpilogueTile t{{pixels, map.n.data() + i, map.p.data() + i}, c, std::min(k->panel, l.outputs - c), k->panel};
        if (then == Then::kThreshold)
          e->threshold16(counts.data(), t, map.rows.data() + i, nullptr, bits);
        else
          e->from_counts16(counts.data(), t, map.rows.data() + i, 2, steps.data(), steps.size());
      }
  report(state, l.macs());
}

// lines: as the engine runs a stem, each line of a window as one tap, here in a map with its padding around it.
void bench_float(benchmark::State& state, const FloatKernel* k, Layer l, bool lines) {
  const uint32_t taps = lines ? l.kernel : l.taps(), channels = lines ? l.kernel * l.channels : l.channels, panels = (l.outputs + k->panel - 1) / k->panel;
  const uint32_t padded = l.size + l.kernel;
  const Buffer<float> input(static_cast<size_t>(padded) * padded * l.channels, 0.5f);
  const Buffer<float> weights(static_cast<size_t>(l.outputs) * taps * channels, 0.25f);
  std::vector<int32_t> table = lines ? std::vector<int32_t>() : indirection(l, l.channels, -1);
  for (uint32_t p = 0; lines && p < l.pixels(); ++p)
    for (uint32_t line = 0; line < taps; ++line) {
      const uint32_t y = p / l.out_size() * l.stride + line, x = p % l.out_size() * l.stride;
      table.push_back(static_cast<int32_t>((y * padded + x) * l.channels));
    }
  const std::vector<const int32_t*> offset = row_pointers(table, l.pixels(), taps);
  const std::vector<const float*> base(l.pixels(), input.data());
  const size_t floats = k->panel_floats(taps, channels);
  Buffer<float> packed(floats * panels);
  k->pack(packed.data(), weights.data(), l.outputs, taps, channels);
  Buffer<float> out(static_cast<size_t>(k->mr) * k->panel);
  for (auto _ : state)
    for (uint32_t panel = 0; panel < panels; ++panel)
      for (uint32_t i = 0; i < l.pixels(); i += k->mr) {
        k->run(out.data(), {base.data() + i, offset.data() + i, std::min(k->mr, l.pixels() - i), taps, channels, packed.data() + panel * floats});
        benchmark::DoNotOptimize(out.data());
      }
  report(state, l.macs());
}

}  // namespace

int main(int argc, char** argv) {
  const auto unit = [](benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond); };
  for (const BinaryKernel* const* k = binary_kernels(); *k != nullptr; ++k) {
    if (!(*k)->supported()) continue;
    const EpilogueKernel* e = find_epilogue_kernel((*k)->isa);
    for (const Layer& l : binary_layers) {
      const std::string name = std::string((*k)->name) + "/" + l.name;
      unit(benchmark::RegisterBenchmark((name + "/counts").c_str(), bench_binary, *k, e, l, Then::kNothing));
      unit(benchmark::RegisterBenchmark((name + "/threshold").c_str(), bench_binary, *k, e, l, Then::kThreshold));
      if ((*k)->bits != nullptr && ((*k)->panel % 32 == 0 || l.outputs <= (*k)->panel))
        unit(benchmark::RegisterBenchmark((name + "/bits").c_str(), bench_binary, *k, e, l, Then::kBits));
      unit(benchmark::RegisterBenchmark((name + "/fused").c_str(), bench_binary, *k, e, l, Then::kFused));
    }
  }
  if (const BinaryKernel* k = classic_popcount(); k != nullptr)
    for (const Layer& l : binary_layers)
      unit(benchmark::RegisterBenchmark((std::string(k->name) + "/" + l.name + "/counts").c_str(), bench_binary, k, nullptr, l, Then::kNothing));
  for (const FloatKernel* const* k = float_kernels(); *k != nullptr; ++k)
    for (const Layer& l : float_layers)
      for (bool lines : {false, true}) {
        if (!(*k)->supported() || (lines && (l.channels >= 16 || l.kernel == 1))) continue;
        const std::string name = std::string((*k)->name) + "/" + l.name + (lines ? "/lines" : "");
        unit(benchmark::RegisterBenchmark(name.c_str(), bench_float, *k, l, lines));
      }
  register_pool_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
