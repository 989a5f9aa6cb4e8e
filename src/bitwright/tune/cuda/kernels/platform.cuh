// What kernels may use of the machine. The same names exist on the host (emulator/instructions.hpp), so one kernel source
// is compiled for GPUs by NVRTC and for the tests by a host compiler.
#pragma once
#ifdef BW_HOST
#include "instructions.hpp"
#include "wgmma_host.hpp"
#define BW_KERNEL(name, type) static void name(const type& p)
#else

#define BW_DEVICE __device__ __forceinline__
#define BW_RESTRICT __restrict__
#define BW_UNROLL _Pragma("unroll")
#define BW_ROLLED _Pragma("unroll 1")
#ifdef BW_RESIDENT  // blocks that a multiprocessor should hold at once: what the compiler spares registers for
#define BW_BOUNDS __launch_bounds__(BW_THREADS, BW_RESIDENT)
#else
#define BW_BOUNDS __launch_bounds__(BW_THREADS)
#endif
#define BW_KERNEL(name, type) extern "C" __global__ void BW_BOUNDS name(const __grid_constant__ type p)

namespace bw {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;
struct __align__(16) Quad {
  u32 x, y, z, w;
};

extern __shared__ __align__(1024) char shared_bytes[];

BW_DEVICE int thread_id() { return int(threadIdx.x); }
BW_DEVICE int block_x() { return int(blockIdx.x); }
BW_DEVICE int block_y() { return int(blockIdx.y); }
BW_DEVICE int block_z() { return int(blockIdx.z); }
BW_DEVICE int grid_x() { return int(gridDim.x); }
BW_DEVICE int grid_y() { return int(gridDim.y); }
BW_DEVICE int grid_z() { return int(gridDim.z); }
BW_DEVICE char* shared() { return shared_bytes; }
BW_DEVICE void sync_block() { __syncthreads(); }
BW_DEVICE u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }

// ---- memory
template <class T>
BW_DEVICE T load(const T* p) {
  return __ldg(p);
}
template <>
BW_DEVICE Quad load<Quad>(const Quad* p) {
  uint4 v = __ldg(reinterpret_cast<const uint4*>(p));
  return {v.x, v.y, v.z, v.w};
}
template <class T>
BW_DEVICE void store(T* p, T value) {
  *p = value;
}
BW_DEVICE void atomic_add(int* p, int value) { atomicAdd(p, value); }
BW_DEVICE void stop() { asm volatile("trap;"); }  // the input is wrong: the launch fails
template <class T>
BW_DEVICE T load_shared(const T* p) {
  return *p;
}
template <class T>
BW_DEVICE void store_shared(T* p, T value) {
  *p = value;
}
#if __CUDA_ARCH__ >= 800
BW_DEVICE void copy16(void* to, const void* from, bool valid) {  // zeros if not valid
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
BW_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
BW_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#else  // sm_75 has no asynchronous copies: through registers, complete at once
BW_DEVICE void copy16(void* to, const void* from, bool valid) {
  Quad v = {0, 0, 0, 0};
  if (valid) v = load(static_cast<const Quad*>(from));
  *static_cast<Quad*>(to) = v;
}
BW_DEVICE void copy_commit() {}
template <int N>
BW_DEVICE void copy_wait() {}
#endif

// ---- numbers
BW_DEVICE int popc(u32 x) { return __popc(x); }
BW_DEVICE int dot4(u32 a, u32 b, int c) {  // signed bytes
  return __dp4a(int(a), int(b), c);
}
BW_DEVICE int dot4_unsigned(u32 a, u32 b, int c) {  // unsigned by signed bytes
  int r;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}
BW_DEVICE float mul(float a, float b) { return __fmul_rn(a, b); }
BW_DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
BW_DEVICE float as_float(int x) { return __int2float_rn(x); }
BW_DEVICE float as_float(float x) { return x; }
BW_DEVICE int round_even(float x) { return __float2int_rn(x); }
BW_DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
BW_DEVICE float of_bits(u32 x) { return __uint_as_float(x); }
BW_DEVICE float half_to_float(u16 h) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
  return r;
}
BW_DEVICE u16 float_to_half(float x) {
  u16 r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
  return r;
}
BW_DEVICE u16 float_to_bfloat(float x) {  // by hand: sm_75 has no instruction for it
  u32 b = bits_of(x);
  if ((b & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return u16((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}

// ---- warps
BW_DEVICE u32 shuffle_xor(u32 value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
BW_DEVICE u32 vote(bool bit) { return __ballot_sync(0xffffffffu, bit); }
BW_DEVICE void load_matrix4(u32 (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)) : "memory");
}

// ---- tensor cores
#define BW_MMA16(text, type)                                                                              \
  asm volatile(text " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                              \
               : "+" type(c[0]), "+" type(c[1]), "+" type(c[2]), "+" type(c[3])                           \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define BW_MMA8(text, type, c0, c1, a0, b0) \
  asm volatile(text " {%0,%1}, {%2}, {%3}, {%0,%1};" : "+" type(c0), "+" type(c1) : "r"(a0), "r"(b0))

BW_DEVICE void mma_and(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  BW_MMA16("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc", "r");
}
BW_DEVICE void mma_xor(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  BW_MMA16("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.xor.popc", "r");
}
BW_DEVICE void mma8_xor(int& c0, int& c1, u32 a, u32 b) {
  BW_MMA8("mma.sync.aligned.m8n8k128.row.col.s32.b1.b1.s32.xor.popc", "r", c0, c1, a, b);
}
template <bool kSigned>
BW_DEVICE void mma_s8(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  if (kSigned) BW_MMA16("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "r");
  else BW_MMA16("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32", "r");
#else  // four products of 8 x 8 x 16, whose fragments are quarters of the larger one's
  BW_UNROLL for (int half = 0; half < 2; ++half)
    BW_UNROLL for (int row = 0; row < 2; ++row) {
      if (kSigned) BW_MMA8("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32", "r", c[2 * row], c[2 * row + 1], a[2 * half + row], b[half]);
      else BW_MMA8("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32", "r", c[2 * row], c[2 * row + 1], a[2 * half + row], b[half]);
    }
#endif
}
BW_DEVICE void mma_f16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  BW_MMA16("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "f");
#else
  BW_UNROLL for (int half = 0; half < 2; ++half)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}
#if __CUDA_ARCH__ >= 800
BW_DEVICE void mma_bf16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  BW_MMA16("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "f");
}
#endif

// ---- wgmma (sm_90a): generated for each N by wgmma.py, because a PTX operand list names every register
#ifdef BW_WGMMA_N
BW_DEVICE void fence_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
BW_DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
BW_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N>
BW_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
#include "wgmma_generated.cuh"
#endif

}  // namespace bw
#endif
