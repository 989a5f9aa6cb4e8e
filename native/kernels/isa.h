// What this translation unit may use. Every kernel file asks here, compiles its kernel if it can, and defines its entry as a null pointer if not,
// so that the registry links everywhere.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define BITWRIGHT_X86 1
#else
#define BITWRIGHT_X86 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define BITWRIGHT_ARM64 1
#else
#define BITWRIGHT_ARM64 0
#endif

// MSVC has all the intrinsics at any /arch, but no macro for each extension: the suffix of the file name gives its flags there.
#if BITWRIGHT_X86 && (defined(_MSC_VER) && !defined(__clang__))
#define BITWRIGHT_MSVC_X86 1
#else
#define BITWRIGHT_MSVC_X86 0
#endif

#if BITWRIGHT_MSVC_X86 || (BITWRIGHT_X86 && defined(__SSE4_2__) && defined(__POPCNT__))
#define BITWRIGHT_SSE42 1
#else
#define BITWRIGHT_SSE42 0
#endif

#if BITWRIGHT_MSVC_X86 || (defined(__AVX2__) && defined(__FMA__))
#define BITWRIGHT_AVX2 1
#else
#define BITWRIGHT_AVX2 0
#endif

#if BITWRIGHT_MSVC_X86 || (defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__))
#define BITWRIGHT_AVX512 1
#else
#define BITWRIGHT_AVX512 0
#endif

#if BITWRIGHT_MSVC_X86 || (BITWRIGHT_AVX512 && defined(__AVX512VNNI__))
#define BITWRIGHT_AVX512VNNI 1
#else
#define BITWRIGHT_AVX512VNNI 0
#endif

#if BITWRIGHT_MSVC_X86 || (BITWRIGHT_AVX512 && defined(__AVX512VPOPCNTDQ__) && defined(__AVX512BITALG__))
#define BITWRIGHT_AVX512VPOPCNT 1
#else
#define BITWRIGHT_AVX512VPOPCNT 0
#endif

#if BITWRIGHT_MSVC_X86 || (BITWRIGHT_AVX512VPOPCNT && defined(__GFNI__) && defined(__AVX512VBMI__))
#define BITWRIGHT_GFNI 1
#else
#define BITWRIGHT_GFNI 0
#endif

// Advanced SIMD is part of the architecture.
#define BITWRIGHT_NEON BITWRIGHT_ARM64

#if BITWRIGHT_NEON && (defined(__ARM_FEATURE_DOTPROD) || (defined(_MSC_VER) && !defined(__clang__)))
#define BITWRIGHT_NEONDOT 1
#else
#define BITWRIGHT_NEONDOT 0
#endif

// gcc 12 warns about its own AVX-512 headers (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__) && BITWRIGHT_AVX512
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

// Loops over accumulator arrays must unroll completely, or gcc keeps the whole array in memory and the rate halves.
#if defined(__clang__)
#define BITWRIGHT_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define BITWRIGHT_UNROLL _Pragma("GCC unroll 64")
#else
#define BITWRIGHT_UNROLL
#endif

#if defined(__GNUC__)
#define BITWRIGHT_INLINE inline __attribute__((always_inline))
#define BITWRIGHT_NOINLINE __attribute__((noinline, unused))
#define BITWRIGHT_GNU_ASM 1
#elif defined(_MSC_VER)
#define BITWRIGHT_INLINE __forceinline
#define BITWRIGHT_NOINLINE __declspec(noinline)
#define BITWRIGHT_GNU_ASM 0
#else
#define BITWRIGHT_INLINE inline
#define BITWRIGHT_NOINLINE
#define BITWRIGHT_GNU_ASM 0
#endif
