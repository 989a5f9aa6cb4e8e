// What this CPU can run: CPUID for the instructions and XGETBV for the registers that the operating system saves on
// x86-64, the operating system's word on AArch64.
#pragma once

namespace bitwright {

// One flag an instruction set of isa_names(), each with everything that its compiler flags may use.
struct CpuFeatures {
  bool sse42 = false;          // SSE4.2 (and all before it) and POPCNT
  bool avx2 = false;           // AVX2, FMA, BMI2, POPCNT, F16C
  bool avx512 = false;         // avx2 and AVX-512 F, BW, VL, DQ
  bool avx512vnni = false;     // avx512 and VNNI
  bool avx512vpopcnt = false;  // avx512 and VPOPCNTDQ, BITALG, VNNI, VBMI
  bool gfni = false;           // avx512vpopcnt and GFNI
  bool neon = false;           // Advanced SIMD, which every AArch64 CPU has
  bool neondot = false;        // neon and FEAT_DotProd
};

// Detected once, thread-safe.
const CpuFeatures& cpu_features();

}  // namespace bitwright
