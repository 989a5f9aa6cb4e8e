// What CUTLASS's device code finds on the host: the emulator's threads, barriers, memory and 1-bit product. CUTLASS's
// inline PTX is replaced by calls of these functions (cutlass_host.py); everything else is CUTLASS's own code.
#pragma once
#include "instructions.hpp"

#include <cuda_runtime.h>

namespace bw {

struct Index {
  unsigned x, y, z;
};
BW_DEVICE Index thread_index() { return {unsigned(thread_id()), 0, 0}; }
BW_DEVICE Index block_index() { return {unsigned(block_x()), unsigned(block_y()), unsigned(block_z())}; }

BW_DEVICE Index no_block_dim() { m().block.fail_thread("blockDim is not emulated"); }  // CUTLASS names it elsewhere

BW_DEVICE bool sync_and(bool mine) {
  struct Op { bool in, out; } op{mine, true};
  auto& b = m().block;
  b.meet(b.block(), b.tid, "__syncthreads_and", &op, [](auto& all) {
    bool every = true;
    for (auto* o : all) every &= static_cast<Op*>(o)->in;
    for (auto* o : all) static_cast<Op*>(o)->out = every;
  });
  return op.out;
}

// Predicated accesses of global memory by CUTLASS's Array types.
template <class T>
BW_DEVICE void ptx_load(T& to, const void* from, bool guard) {
  if (!guard) return;
  m().check_global(from, sizeof(T), false);
  ++m().stats.global_loads;
  std::memcpy(static_cast<void*>(&to), from, sizeof(T));
}
template <class T>
BW_DEVICE void ptx_store(const T& value, void* to, bool guard) {
  if (!guard) return;
  m().check_global(to, sizeof(T), true);
  ++m().stats.global_stores;
  std::memcpy(to, static_cast<const void*>(&value), sizeof(T));
}

BW_DEVICE void ptx_ldmatrix4(int& x, int& y, int& z, int& w, const void* row) {
  u32 out[4];
  load_matrix4(out, row);
  x = int(out[0]), y = int(out[1]), z = int(out[2]), w = int(out[3]);
}

template <class Product>
BW_DEVICE void ptx_mma(Product product, int* d, const u32* a, const u32* b, const int* c) {
  int sum[4] = {c[0], c[1], c[2], c[3]};
  u32 left[4] = {a[0], a[1], a[2], a[3]}, right[2] = {b[0], b[1]};
  product(sum, left, right);
  for (int i = 0; i < 4; ++i) d[i] = sum[i];
}

}  // namespace bw

inline int min(int a, int b) { return a < b ? a : b; }

namespace cutlass::arch {
inline int LaneId() { return bw::thread_id() % 32; }
}  // namespace cutlass::arch

#define threadIdx bw::thread_index()
#define blockIdx bw::block_index()
#define gridDim (bw::Index{unsigned(bw::grid_x()), unsigned(bw::grid_y()), unsigned(bw::grid_z())})
#define blockDim bw::no_block_dim()
#define __syncthreads() bw::sync_block()
#define __syncthreads_and(predicate) bw::sync_and(predicate)
#define __shfl_sync(mask, value, lane) (value)  // CUTLASS broadcasts what the lanes of a warp agree on
#define CUTLASS_ARCH_MMA_B1_AND_SM80_ENABLED
#define CUTLASS_ARCH_MMA_B1_XOR_SM80_ENABLED
