// Runs one kernel on one tile a given number of times and nothing else, for counting instructions (benchmarks/arm_instructions.py): what two runs
// differ by is the kernel's work.
//
//   bitwright_once KERNEL TAPS CHANNELS REPEATS
//
// bconv_*, fconv_* and qconv_*: a full tile of TAPS taps and CHANNELS input channels (qconv_*, 0: a depthwise one). bdepthwise_*: 16 pixels, below 16
// TAPS into bits, else TAPS - 16 taps into counts. epilogue_* (thresholds of 16-bit counts, then the chain AFFINE, ADD,
// PRELU, STORE, STORE_BITS) and pack_*: 12 pixels of CHANNELS channels; TAPS 0 takes the threshold, 1 the chain. Prints the multiply-accumulates,
// or elements, of one repetition.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "kernel.h"

using namespace bitwright;

namespace {

template <class T>
T* aligned(size_t n) {
  void* p = ::operator new(n * sizeof(T) + 64, std::align_val_t{64});
  std::memset(p, 0, n * sizeof(T) + 64);
  return static_cast<T*>(p);
}

constexpr uint32_t kPixels = 12;

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
  const DepthwiseBits bits{aligned<uint32_t>(size_t{5} * lanes), aligned<uint32_t>(lanes), aligned<uint32_t>(lanes)};
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

size_t epilogue(const EpilogueKernel& k, const Shape& s) {
  const size_t elements = size_t{kPixels} * s.channels;
  auto* counts = aligned<uint16_t>(elements);
  auto* row = aligned<int32_t>(s.channels);
  auto* per_channel = aligned<float>(s.channels);
  auto* map = aligned<float>(elements);
  ValueRef bits, floats_ref;
  bits.data = aligned<uint32_t>(elements / 32);
  bits.pixel_stride = s.channels / 32;
  floats_ref.data = map;
  floats_ref.pixel_stride = s.channels;
  Step steps[5] = {};
  steps[0].kind = StepKind::kAffine, steps[0].a = steps[0].b = per_channel;
  steps[1].kind = StepKind::kAdd, steps[1].value = floats_ref;
  steps[2].kind = StepKind::kPrelu, steps[2].a = per_channel;
  steps[3].kind = StepKind::kStore, steps[3].value = floats_ref;
  steps[4].kind = StepKind::kStoreBits, steps[4].a = per_channel, steps[4].value = bits;
  std::vector<uint32_t> n(kPixels, 0), p(kPixels);
  for (uint32_t i = 0; i < kPixels; ++i) p[i] = i;
  const std::vector<const int32_t*> rows(kPixels, row);
  const EpilogueTile tile{{kPixels, n.data(), p.data()}, 0, s.channels, s.channels};
  for (uint32_t i = 0; i < s.repeats; ++i)
    if (s.taps == 0)
      k.threshold16(counts, tile, rows.data(), nullptr, bits);
    else
      k.from_counts16(counts, tile, rows.data(), 2, steps, 5);
  return elements;
}

size_t pack(const PackKernel& k, const Shape& s) {
  const size_t elements = size_t{kPixels} * s.channels;
  const PackRows job{aligned<uint32_t>(elements / 32), s.channels / 32, aligned<float>(elements), static_cast<ptrdiff_t>(s.channels * sizeof(float)),
                     aligned<float>(s.channels), true, kPixels, s.channels};
  for (uint32_t i = 0; i < s.repeats; ++i) k.f32(job);
  return elements;
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
  else if (const Int8Kernel* q = find_int8_kernel(name))
    work = s.channels == 0 ? int8_depthwise(*q, s) : int8s(*q, s);
  else if (const DepthwiseKernel* d = find_depthwise_kernel(name))
    work = depthwise(*d, s);
  else if (const EpilogueKernel* e = find_epilogue_kernel(name))
    work = epilogue(*e, s);
  else if (const PackKernel* p = find_pack_kernel(name))
    work = pack(*p, s);
  else
    std::fprintf(stderr, "this CPU has no kernel '%s'\n", name);
  std::printf("%zu\n", work);
  return work == 0 ? 1 : 0;
}
