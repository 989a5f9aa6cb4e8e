// CUTLASS's 1-bit product (kernel::Gemm of its 2.x interface) as one of our kernels: popcounts of rows of `a` with rows of
// `w`, times alpha, plus beta times `c`.
//
// The kernel takes CUTLASS's own Params by value, as CUTLASS's launcher passes them. Their strides and increments belong
// to the template's iterators, so a second kernel of one thread fills them in on the GPU, once for a problem; nothing of
// CUTLASS's arithmetic is repeated outside of it. Block count and raster are passed in, so that they need no build.
//
// Compiled for BW_BM x BW_BN x BW_BK, BW_WM x BW_WN, BW_STAGES, BW_INSTRUCTION as mma_b1; BW_SERIAL: whether K may be
// split; BW_ALIGN: how many columns of the output are written at once; BW_SHARED: the bytes that the host will ask for.
#include "platform.cuh"
// CUTLASS 4.2 declares std::tuple_size in a way that CCCL 13.3 contradicts; its 2.x kernels do not need it.
#include "cute/config.hpp"
#undef CUTE_STL_NAMESPACE_IS_CUDA_STD
#include "cutlass/epilogue/thread/linear_combination.h"
#include "cutlass/gemm/kernel/default_gemm.h"

struct Setup {
  const void* a;   // m rows of lda chunks of 128 bits
  const void* w;   // n rows of ldw
  const int* c;    // m x n in rows of ldc (0: one row for all), or null with beta = 0
  int* d;          // m x n
  int* semaphore;  // of each block, zero; for a split K
  void* params;    // what is filled in
  int m, n, k, lda, ldw, ldc, alpha, beta;
  int split, log_tile;  // CUTLASS's raster: 2^log_tile columns of blocks are walked together
};

namespace bw {

using Block = cutlass::gemm::GemmShape<BW_BM, BW_BN, BW_BK>;
using Warp = cutlass::gemm::GemmShape<BW_WM, BW_WN, BW_BK>;
#if BW_INSTRUCTION == 2
using Architecture = cutlass::arch::Sm75;
using Instruction = cutlass::gemm::GemmShape<8, 8, 128>;
#else
using Architecture = cutlass::arch::Sm80;
using Instruction = cutlass::gemm::GemmShape<16, 8, 256>;
#endif
#if BW_INSTRUCTION == 0
using Logic = cutlass::arch::OpAndPopc;
#else
using Logic = cutlass::arch::OpXorPopc;
#endif

using Bit = cutlass::uint1b_t;
using Rows = cutlass::layout::RowMajor;
using Columns = cutlass::layout::ColumnMajor;
using Gemm = cutlass::gemm::kernel::DefaultGemm<
    Bit, Rows, 128, Bit, Columns, 128, int, Rows, int, cutlass::arch::OpClassTensorOp, Architecture, Block, Warp, Instruction,
    cutlass::epilogue::thread::LinearCombination<int, BW_ALIGN, int, int>, cutlass::gemm::threadblock::GemmIdentityThreadblockSwizzle<8>,
    BW_STAGES, BW_SERIAL != 0, Logic>::GemmKernel;

static_assert(Gemm::kThreadCount == BW_THREADS, "threads of a block");
static_assert(sizeof(Gemm::SharedStorage) == BW_SHARED, "shared memory of a block");
static_assert(sizeof(Gemm::Params) <= 512, "room for parameters");

BW_DEVICE Gemm::Params params_of(const Setup& s) {
  using A = Gemm::Mma::IteratorA::TensorRef;
  using B = Gemm::Mma::IteratorB::TensorRef;
  using C = Gemm::Epilogue::OutputTileIterator::TensorRef;
  cutlass::gemm::GemmCoord size(s.m, s.n, s.k);
  cutlass::gemm::GemmCoord blocks((s.m + BW_BM - 1) / BW_BM, (s.n + BW_BN - 1) / BW_BN, s.split);
  A a(static_cast<A::Element*>(const_cast<void*>(s.a)), A::Layout(s.lda * 128));
  B w(static_cast<B::Element*>(const_cast<void*>(s.w)), B::Layout(s.ldw * 128));
  Gemm::Params params(size, blocks, a, w, C(const_cast<int*>(s.c), Rows(s.ldc)), C(s.d, Rows(s.n)), {s.alpha, s.beta}, s.semaphore);
  params.swizzle_log_tile = s.log_tile;
  return params;
}

}  // namespace bw

BW_KERNEL(cutlass_b1_params, Setup) { *static_cast<bw::Gemm::Params*>(p.params) = bw::params_of(p); }

BW_KERNEL(cutlass_b1, bw::Gemm::Params) {
  bw::Gemm gemm;
  gemm(p, *reinterpret_cast<bw::Gemm::SharedStorage*>(bw::shared()));
}
