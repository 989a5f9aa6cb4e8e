// The interface between the executor and the micro-kernels. One translation unit per instruction set implements it; the registry
// (registry.cpp) lists them, picks the best that the CPU supports, or the one that the user forces by name.
//
// Shapes. The executor cuts a layer's output into tiles: up to `mr` output pixels x one panel of `panel` output channels (of one group).
// Everything a kernel does not know (padding, stride, dilation, dimensions, batch) is in the indirection table: for each output pixel and
// tap, the offset of the input pixel from the sample's base. A micro-kernel is therefore the same for 1-D, 2-D, 3-D and transposed
// convolutions, dense layers and every kind of padding.
#pragma once

#include "kernel_binary.h"
#include "kernel_depthwise.h"
#include "kernel_epilogue.h"
#include "kernel_float.h"
#include "kernel_int8.h"
#include "kernel_minimal.h"
#include "kernel_pack.h"
#include "kernel_pool.h"
#include "kernel_product.h"
#include "kernel_sliced.h"

namespace bitwright {

// The lists, in no particular order, ended by a null pointer. Kernels of instruction sets this binary was not built for are absent.
const BinaryKernel* const* binary_kernels();
const BinaryKernel* const* binary_tiles();  // all of all kernels
const SlicedKernel* const* sliced_kernels();
const DepthwiseKernel* const* depthwise_kernels();
const FloatKernel* const* float_kernels();
const MinimalKernel* const* minimal_kernels();
const Int8Kernel* const* int8_kernels();
const EpilogueKernel* const* epilogue_kernels();
const PackKernel* const* pack_kernels();
const ProductKernel* const* product_kernels();
const PoolKernel* const* pool_kernels();

// The instruction sets, ended by a null pointer: "portable", "sse42", "avx2", "avx512", ... of x86-64 and "neon", "neondot" of AArch64, of each
// architecture lowest rank first. All of them, whether this binary or CPU has them or not.
const char* const* isa_names();
// Whether this CPU (and its operating system) can run that instruction set; false for an unknown name.
bool isa_supported(const char* isa);

// Finding a kernel. A null pointer asks for the best supported one. A kernel's name asks for that kernel. An instruction set's name asks for the
// best supported kernel that needs no more than it, so that forcing "avx512vpopcnt" also finds a float kernel (fconv_avx512).
// Null if there is no such kernel or instruction set, or if this CPU cannot run it.
const BinaryKernel* find_binary_kernel(const char* name_or_isa);
const SlicedKernel* find_sliced_kernel(const char* name_or_isa);
const DepthwiseKernel* find_depthwise_kernel(const char* name_or_isa);
const FloatKernel* find_float_kernel(const char* name_or_isa);
const MinimalKernel* find_minimal_kernel(const char* name_or_isa);
const Int8Kernel* find_int8_kernel(const char* name_or_isa);
const EpilogueKernel* find_epilogue_kernel(const char* name_or_isa);
const PackKernel* find_pack_kernel(const char* name_or_isa);
const ProductKernel* find_product_kernel(const char* name_or_isa);
const PoolKernel* find_pool_kernel(const char* name_or_isa);

}  // namespace bitwright
