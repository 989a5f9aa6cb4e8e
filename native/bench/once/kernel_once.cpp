// Runs one kernel on one tile a given number of times and nothing else, for counting instructions (benchmarks/arm_instructions.py): what two runs
// differ by is the kernel's work.
//
//   bitwright_once KERNEL TAPS CHANNELS REPEATS
//
// bconv_*, fconv_* and qconv_*: a full tile of TAPS taps and CHANNELS input channels (qconv_*, 0: a depthwise one). bdepthwise_*: 16 pixels, below 16
// TAPS into bits, else TAPS - 16 taps into counts. epilogue_* and pack_*: 48 pixels of CHANNELS channels, TAPS chooses the chain (see below). pool_*:
// TAPS = 100 * windows' width + function (see below). bmatmul_*: TAPS chooses the function (see below).
// fconv_minimal_*: the sums of a block of tiles of a kernel of TAPS, 2x2 to 4x4, or for TAPS 1 the inputs of a row of tiles of 3x3. Prints the multiply-accumulates, or elements, of one repetition.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <vector>

#include "chain.h"
#include "kernel.h"
#include "minimal_filter.h"

using namespace bitwright;

namespace {

template <class T>
T* aligned(size_t n) {
  void* p = ::operator new(n * sizeof(T) + 64, std::align_val_t{64});
  std::memset(p, 0, n * sizeof(T) + 64);
  return static_cast<T*>(p);
}

constexpr uint32_t kPixels = 48;  // of an epilogue and of packing

struct Shape {
  uint32_t taps, channels, repeats;
};

size_t binary(const BinaryKernel& k, const Shape& s) {
  const uint32_t words = s.channels / 32;
  auto* input = aligned<uint32_t>(size_t{words} * s.taps * k.mr);
  auto* panel = aligned<unsigned char>(k.panel_bytes(s.taps, words));
  auto* counts = aligned<uint16_t>(size_t{k.mr} * k.panel);
  std::vector<int32_t> offsets(s.taps);
  for (uint32_t tap = 0; tap < s.taps; ++tap) offsets[tap] = static_cast<int32_t>(tap * words);
  const std::vector<const uint32_t*> base(k.mr, input);
  const std::vector<const int32_t*> offset(k.mr, offsets.data());
  for (uint32_t i = 0; i < s.repeats; ++i) k.count16(counts, {base.data(), offset.data(), k.mr, s.taps, words, panel});
  return size_t{k.mr} * k.panel * s.taps * s.channels;
}

size_t floats(const FloatKernel& k, const Shape& s) {
  auto* input = aligned<float>(size_t{s.channels} * s.taps * k.mr);
  auto* panel = aligned<float>(k.panel_floats(s.taps, s.channels));
  auto* out = aligned<float>(size_t{k.mr} * k.panel);
  std::vector<int32_t> offsets(s.taps);
  for (uint32_t tap = 0; tap < s.taps; ++tap) offsets[tap] = static_cast<int32_t>(tap * s.channels);
  const std::vector<const float*> base(k.mr, input);
  const std::vector<const int32_t*> offset(k.mr, offsets.data());
  for (uint32_t i = 0; i < s.repeats; ++i) k.run(out, {base.data(), offset.data(), k.mr, s.taps, s.channels, panel});
  return size_t{k.mr} * k.panel * s.taps * s.channels;
}

// Counts the multiply-accumulates of the plain sum, or the elements of the map that a row of tiles is beyond the row before.
size_t minimal(const MinimalKernel& k, const Shape& s) {
  const uint32_t width = s.taps == 4 ? 2 : s.taps == 16 ? 4 : 3, tiles = 12;
  const uint32_t row_points = kMinimalRows + width - 1, column_points = kMinimalColumns + width - 1, products = row_points * column_points * s.channels;
  if (s.taps != 1 && s.taps != width * width) return 0;
  if (s.taps == 1) {
    const size_t step = size_t{kMinimalColumns} * s.channels, planes = tiles + 4, line = planes * step;
    const auto *map = aligned<float>(row_points * line), *from_planes = aligned<float>(step * planes);
    auto *lines = aligned<float>(row_points * line), *to_planes = aligned<float>(step * planes), *input = aligned<float>(size_t{products} * planes);
    const float *rows[8], *columns[8];
    float *rows_to[8], *columns_to[8];
    for (uint32_t e = 0; e < row_points; ++e) rows[e] = map + e * line, rows_to[e] = lines + e * line;
    for (uint32_t e = 0; e < column_points; ++e) {
      columns[e] = from_planes + e % kMinimalColumns * s.channels * planes + e / kMinimalColumns;
      columns_to[e] = input + size_t{e} * row_points * s.channels * planes;
    }
    for (uint32_t i = 0; i < s.repeats; ++i) {
      k.rows[width - 1]({rows, rows_to, 0, 0, 1, (tiles * kMinimalColumns + 2) * s.channels});
      for (uint32_t point = 0; point < row_points; ++point) {
        k.transpose({to_planes, rows_to[point], planes, step, static_cast<uint32_t>(planes), static_cast<uint32_t>(step)});
        k.columns[width - 1]({columns, columns_to, planes, planes, s.channels, tiles});
      }
    }
    return size_t{tiles} * kMinimalRows * kMinimalColumns * s.channels;
  }
  const std::vector<uint32_t> depth(size_t{row_points} * column_points, s.channels);
  const MinimalBlock job{aligned<float>(size_t{products} * k.mr), k.mr, aligned<float>(size_t{products} * k.panel), depth.data(), row_points, column_points, k.mr, k.panel,
                         aligned<float>(k.spare_floats), aligned<float>(size_t{kMinimalRows} * kMinimalColumns * k.mr * k.panel), k.panel};
  for (uint32_t i = 0; i < s.repeats; ++i) k.block(job);
  return size_t{k.mr} * kMinimalRows * kMinimalColumns * k.panel * s.taps * s.channels;
}

size_t int8s(const Int8Kernel& k, const Shape& s) {
  auto* input = aligned<uint8_t>(size_t{s.channels} * s.taps * k.mr);
  auto* panel = aligned<uint8_t>(k.panel_bytes(s.taps, s.channels));
  auto* out = aligned<int32_t>(size_t{k.mr} * k.panel);
  std::vector<int32_t> offsets(s.taps);
  for (uint32_t tap = 0; tap < s.taps; ++tap) offsets[tap] = static_cast<int32_t>(tap * s.channels);
  const std::vector<const uint8_t*> base(k.mr, input);
  const std::vector<const int32_t*> offset(k.mr, offsets.data());
  for (uint32_t i = 0; i < s.repeats; ++i) k.run(out, {base.data(), offset.data(), k.mr, s.taps, s.channels, panel});
  return size_t{k.mr} * k.panel * s.taps * s.channels;
}

// 16 output pixels that continue each other.
size_t depthwise(const DepthwiseKernel& k, const Shape& s) {
  const uint32_t words = s.channels / 32, lanes = depthwise_lanes(words), pixels = 16, taps = s.taps < 16 ? s.taps : s.taps - 16;
  auto* out = aligned<uint16_t>(size_t{pixels} * s.channels);
  std::vector<int32_t> offsets(taps);
  for (uint32_t tap = 0; tap < taps; ++tap) offsets[tap] = static_cast<int32_t>(tap * words);
  const DepthwiseRun run{aligned<uint32_t>(size_t{pixels + taps} * words), offsets.data(), pixels, taps, words, aligned<uint32_t>(size_t{taps} * lanes)};
  const DepthwiseBits bits{aligned<uint32_t>(size_t{5} * lanes), aligned<uint32_t>(lanes), aligned<uint32_t>(lanes), nullptr};
  for (uint32_t i = 0; i < s.repeats; ++i)
    if (s.taps < 16)
      k.bits(reinterpret_cast<uint32_t*>(out), words, run, bits);
    else
      k.count16(out, s.channels, run);
  return size_t{pixels} * s.channels * taps;
}

size_t int8_depthwise(const Int8Kernel& k, const Shape& s) {
  const uint32_t pixels = k.mr, channels = k.panel;
  auto* out = aligned<int32_t>(size_t{pixels} * channels);
  std::vector<int32_t> offsets(s.taps);
  for (uint32_t tap = 0; tap < s.taps; ++tap) offsets[tap] = static_cast<int32_t>(tap * channels);
  const std::vector<const uint8_t*> base(pixels, aligned<uint8_t>(size_t{s.taps} * channels + 64));
  const std::vector<const int32_t*> offset(pixels, offsets.data());
  const auto* weights = aligned<int8_t>(size_t{s.taps} * channels);
  for (uint32_t i = 0; i < s.repeats; ++i) k.depthwise(out, {base.data(), offset.data(), pixels, s.taps, channels, weights});
  return size_t{pixels} * channels * s.taps;
}

// 0: thresholds of counts of 16 bits into bits. 1: the chain of a Bi-Real block, AFFINE, ADD, PRELU with shifts, STORE, STORE_BITS. 2: the same without
// its plan, step by step. 3: the chain in 16 bits, FIXED, ADD_I16, PRELU_I16, STORE_I16, STORE_BITS_I16. 4: int8, AFFINE, STORE_U8 of sums.
size_t epilogue(const EpilogueKernel& k, const Shape& s) {
  const size_t elements = size_t{kPixels} * s.channels;
  auto* counts = aligned<uint16_t>(elements);
  auto* row = aligned<int32_t>(s.channels);
  auto* per_channel = aligned<float>(s.channels + 32);
  auto* shorts = aligned<int16_t>(s.channels + 32);
  ValueRef bits, map, map16, map8;
  bits.data = aligned<uint32_t>(elements / 32);
  bits.pixel_stride = s.channels / 32;
  map.data = aligned<float>(elements + 16 * s.channels);
  map16.data = aligned<int16_t>(elements + 16 * s.channels);
  map8.data = aligned<uint8_t>(elements);
  map.pixel_stride = map16.pixel_stride = map8.pixel_stride = s.channels;
  std::vector<Step> steps;
  const auto step = [&](StepKind kind) -> Step& {
    steps.emplace_back();
    steps.back().kind = kind;
    return steps.back();
  };
  if (s.taps == 1 || s.taps == 2) {
    Step& affine = step(StepKind::kAffine);
    affine.a = affine.b = per_channel;
    step(StepKind::kAdd).value = map;
    Step& before = step(StepKind::kAffine);
    before.p0 = 1, before.b = per_channel;
    step(StepKind::kPrelu).a = per_channel;
    Step& after = step(StepKind::kAffine);
    after.p0 = 1, after.b = per_channel;
    step(StepKind::kStore).value = map;
    Step& store = step(StepKind::kStoreBits);
    store.a = per_channel, store.value = bits;
  } else if (s.taps == 3) {
    Step& fixed = step(StepKind::kFixed);
    fixed.a16 = fixed.b16 = shorts;
    step(StepKind::kAddI16).value = map16;
    step(StepKind::kPreluI16).a16 = shorts;
    step(StepKind::kStoreI16).value = map16;
    Step& store = step(StepKind::kStoreBitsI16);
    store.a16 = shorts, store.value = bits;
  } else if (s.taps == 4) {
    Step& affine = step(StepKind::kAffine);
    affine.a = affine.b = per_channel;
    Step& store = step(StepKind::kStoreU8);
    store.p0 = 1, store.value = map8;
  }
  std::unique_ptr<const ChainPlan> plan;
  if (s.taps == 1 || s.taps == 3) {
    plan = plan_chain(steps.data(), steps.size(), s.channels);
    if (plan == nullptr) return 0;
    steps[0].plan = plan.get();
  }
  auto* sums = aligned<int32_t>(elements);
  std::vector<uint32_t> n(kPixels, 0), p(kPixels);
  for (uint32_t i = 0; i < kPixels; ++i) p[i] = i;
  const std::vector<const int32_t*> rows(kPixels, row);
  const EpilogueTile tile{{kPixels, n.data(), p.data()}, 0, s.channels, s.channels};
  for (uint32_t i = 0; i < s.repeats; ++i)
    if (s.taps == 0)
      k.threshold16(counts, tile, rows.data(), nullptr, bits);
    else if (s.taps == 4)
      k.from_int32(sums, tile, rows.data(), steps.data(), steps.size());
    else
      k.from_counts16(counts, tile, rows.data(), 2, steps.data(), steps.size());
  return elements;
}

size_t pack(const PackKernel& k, const Shape& s) {
  const size_t elements = size_t{kPixels} * s.channels;
  const PackRows job{aligned<uint32_t>(elements / 32), s.channels / 32, aligned<float>(elements), static_cast<ptrdiff_t>(s.channels * sizeof(float)),
                     aligned<float>(s.channels), true, kPixels, s.channels};
  for (uint32_t i = 0; i < s.repeats; ++i) k.f32(job);
  return elements;
}

// 16 square windows that continue each other; in order the functions of the kernel.
size_t pools(const PoolKernel& k, const Shape& s) {
  const PoolFn functions[] = {k.max_f32, k.mean_f32, k.max_i16, k.max_i16_to_f32, k.mean_i16, k.max_u8, k.mean_u8};
  if (s.taps % 100 >= std::size(functions)) return 0;
  const uint32_t width = s.taps / 100, windows = 16;
  const size_t row = size_t{windows} * width * s.channels;
  const PoolWindows w{aligned<float>(row * width), size_t{width} * s.channels, {0, row, s.channels}, {1, width, width}, windows, s.channels};
  auto* out = aligned<float>(size_t{windows} * s.channels);
  for (uint32_t i = 0; i < s.repeats; ++i) functions[s.taps % 100](out, w, {});
  return row * width;
}

// 0 to 3: the end of a tile of the count kernels' 12 x 32, into 16 bits, into 32, halved with columns into 16 and into 32. 4: a plane of such a tile. 5:
// transposes 32 of the columns of 256 rows of CHANNELS bits; its work is the bits.
size_t product(const ProductKernel& k, const Shape& s) {
  constexpr uint32_t rows = 12, columns = 32, tokens = 256;
  const size_t words = s.channels / 32;
  auto* counts = aligned<uint16_t>(rows * columns);
  auto* sums = aligned<uint32_t>(rows * columns);
  auto* out = aligned<int32_t>(rows * columns);
  auto* bits = aligned<uint32_t>(tokens * words);
  const auto* constants = aligned<int32_t>(columns);
  const bool half = s.taps >= 2;
  const ProductTile t{counts, columns, rows, columns, half ? constants : nullptr, half ? constants : nullptr, 9, half ? 1 : 2, half, out, columns};
  if (s.taps > 5) return 0;
  for (uint32_t i = 0; i < s.repeats; ++i)
    switch (s.taps) {
      case 0: case 2: k.finish16_16(t); break;
      case 1: case 3: k.finish16_32(t); break;
      case 4: k.add_plane16(sums, counts, 1, rows * columns); break;
      default: k.transpose(sums, tokens / 32, bits, words, tokens, columns);
    }
  return s.taps == 5 ? size_t{tokens} * columns : size_t{rows} * columns;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: bitwright_once KERNEL TAPS CHANNELS REPEATS\n");
    return 2;
  }
  const char* name = argv[1];
  const Shape s{static_cast<uint32_t>(std::atoi(argv[2])), static_cast<uint32_t>(std::atoi(argv[3])), static_cast<uint32_t>(std::atoi(argv[4]))};
  size_t work = 0;
  if (const BinaryKernel* b = find_binary_kernel(name))
    work = binary(*b, s);
  else if (const FloatKernel* f = find_float_kernel(name))
    work = floats(*f, s);
  else if (const MinimalKernel* w = find_minimal_kernel(name))
    work = minimal(*w, s);
  else if (const Int8Kernel* q = find_int8_kernel(name))
    work = s.channels == 0 ? int8_depthwise(*q, s) : int8s(*q, s);
  else if (const DepthwiseKernel* d = find_depthwise_kernel(name))
    work = depthwise(*d, s);
  else if (const EpilogueKernel* e = find_epilogue_kernel(name))
    work = epilogue(*e, s);
  else if (const PackKernel* p = find_pack_kernel(name))
    work = pack(*p, s);
  else if (const PoolKernel* l = find_pool_kernel(name))
    work = pools(*l, s);
  else if (const ProductKernel* m = find_product_kernel(name))
    work = product(*m, s);
  else
    std::fprintf(stderr, "this CPU has no kernel '%s'\n", name);
  std::printf("%zu\n", work);
  return work == 0 ? 1 : 0;
}
