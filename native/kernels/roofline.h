// What the machine can do at most: short loops that `profile` times beside a network. A loop of arithmetic works on registers and L1 alone, with the
// mix of instructions that the kernels of its instruction set spend their time on; the loops of memory read and write a buffer with the widest
// instructions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

enum class RooflineFamily { kBinary, kFloat, kInt8, kRead, kWrite };

struct RooflineLoop {
  const char* name;  // "popcount_avx512vpopcnt"
  const char* isa;   // as of the kernels
  RooflineFamily family;
  const char* about;
  bool (*supported)();
  double work;  // arithmetic: MACs of one iteration; memory: 1, and `run` returns after iterations passes over the buffer
  void (*run)(uint64_t iterations, void* buffer, size_t bytes);  // buffer: 64-byte aligned; bytes: a multiple of 512
};

// The loop of a family for kernels of this instruction set; the best that this CPU has, if `isa` is null or has none of its own.
const RooflineLoop& roofline_loop(RooflineFamily family, const char* isa = nullptr);

// Of one translation unit each, ended by one without a name.
extern const RooflineLoop roofline_portable[];
extern const RooflineLoop roofline_sse42[];
extern const RooflineLoop roofline_avx2[];
extern const RooflineLoop roofline_avx512[];
extern const RooflineLoop roofline_avx512vnni[];
extern const RooflineLoop roofline_avx512vpopcnt[];
extern const RooflineLoop roofline_gfni[];
extern const RooflineLoop roofline_neon[];
extern const RooflineLoop roofline_neondot[];

// All of them, the best instruction sets first, ended by null.
extern const RooflineLoop* const roofline_files[];

}  // namespace bitwright
