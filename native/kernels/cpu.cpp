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
#elif BITWRIGHT_ARM64
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
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
  const uint32_t leaves = cpuid(0, 0).eax;
  if (leaves < 1) return f;
  const Registers one = cpuid(1, 0);
  f.sse42 = bit(one.ecx, 9) /* SSSE3 */ && bit(one.ecx, 19) /* SSE4.1 */ && bit(one.ecx, 20) /* SSE4.2 */ && bit(one.ecx, 23) /* POPCNT */;
  if (leaves < 7) return f;
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
  f.avx512vnni = f.avx512 && bit(seven.ecx, 11) /* VNNI */;
  f.avx512vpopcnt = f.avx512vnni && bit(seven.ecx, 1) /* VBMI */ && bit(seven.ecx, 6) /* VBMI2 */ && bit(seven.ecx, 12) /* BITALG */ &&
                    bit(seven.ecx, 14) /* VPOPCNTDQ */;
  f.gfni = f.avx512vpopcnt && bit(seven.ecx, 8) /* GFNI */;
  return f;
}

#elif BITWRIGHT_ARM64

bool has_dotprod() {
#if defined(__linux__)
  constexpr unsigned long kHwcapAsimddp = 1ul << 20;
  return (getauxval(AT_HWCAP) & kHwcapAsimddp) != 0;
#elif defined(__APPLE__)
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &value, &size, nullptr, 0) == 0 && value != 0;
#elif defined(_WIN32)
  constexpr DWORD kDotProduct = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE; older headers have no name for it
  return IsProcessorFeaturePresent(kDotProduct) != 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  CpuFeatures f;
  f.neon = true;
  f.neondot = has_dotprod();
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
