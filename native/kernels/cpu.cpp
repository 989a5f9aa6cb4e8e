#include "cpu.h"

#include <cstdint>

#include "isa.h"

#if BITWRIGHT_X86
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace bitwright {
namespace {

#if BITWRIGHT_X86

struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r{};
#if defined(_MSC_VER)
  int v[4];
  __cpuidex(v, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {static_cast<uint32_t>(v[0]), static_cast<uint32_t>(v[1]), static_cast<uint32_t>(v[2]), static_cast<uint32_t>(v[3])};
#else
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
#endif
  return r;
}

uint64_t xgetbv0() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<uint64_t>(hi) << 32) | lo;
#endif
}

bool bit(uint32_t word, int n) { return (word >> n) & 1u; }

CpuFeatures detect() {
  CpuFeatures f;
  if (cpuid(0, 0).eax < 7) return f;
  const Registers one = cpuid(1, 0);
  const bool osxsave = bit(one.ecx, 27);
  if (!osxsave) return f;
  const uint64_t saved = xgetbv0();
  const bool saves_ymm = (saved & 0x06) == 0x06;
  const bool saves_zmm = (saved & 0xe6) == 0xe6;
  const Registers seven = cpuid(7, 0);
  f.avx2 = saves_ymm && bit(one.ecx, 28) /* AVX */ && bit(one.ecx, 12) /* FMA */ && bit(one.ecx, 23) /* POPCNT */ &&
           bit(one.ecx, 29) /* F16C */ && bit(seven.ebx, 5) /* AVX2 */ && bit(seven.ebx, 8) /* BMI2 */;
  f.avx512 = f.avx2 && saves_zmm && bit(seven.ebx, 16) /* F */ && bit(seven.ebx, 17) /* DQ */ && bit(seven.ebx, 30) /* BW */ &&
             bit(seven.ebx, 31) /* VL */;
  f.avx512vpopcnt = f.avx512 && bit(seven.ecx, 1) /* VBMI */ && bit(seven.ecx, 11) /* VNNI */ && bit(seven.ecx, 12) /* BITALG */ &&
                    bit(seven.ecx, 14) /* VPOPCNTDQ */;
  return f;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace bitwright
