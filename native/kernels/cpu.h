// What this CPU can run: CPUID for the instructions, XGETBV for the registers that the operating system saves.
#pragma once

namespace bitwright {

// One flag an instruction set of isa_names(), each with everything that its compiler flags may use.
struct CpuFeatures {
  bool avx2 = false;           // AVX2, FMA, BMI2, POPCNT, F16C
  bool avx512 = false;         // avx2 and AVX-512 F, BW, VL, DQ
  bool avx512vpopcnt = false;  // avx512 and VPOPCNTDQ, BITALG, VNNI, VBMI
};

// Detected once, thread-safe.
const CpuFeatures& cpu_features();

}  // namespace bitwright
