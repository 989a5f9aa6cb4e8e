// Which kernels run: the best that the CPU has, or the ones that the user forces.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"

namespace bitwright {

struct Kernels {
  const BinaryKernel* binary = nullptr;
  const SlicedKernel* sliced = nullptr;  // may be null; `binary` runs what it does not take
  bool forced = false;                   // by a request: not open to tuning
  bool sliced_forced = false;            // by its name or its instruction set: it runs whatever it can, not only where it is expected to win
  const FloatKernel* floats = nullptr;
  const MinimalKernel* minimal = nullptr;  // may be null; `floats` runs what it does not take
  bool minimal_forced = false;             // by its name: it runs whatever it can
  const Int8Kernel* int8 = nullptr;
  const EpilogueKernel* epilogue = nullptr;
  const ProductKernel* product = nullptr;
  const DepthwiseKernel* depthwise = nullptr;
  const PoolKernel* pool = nullptr;
};

// `request`: empty for the environment variable BITWRIGHT_KERNEL or, without it, the best. Else the name of an instruction set ("avx2": no
// kernel uses more than that) or kernel names, perhaps with a tile, separated by commas ("bconv_avx2/3x64,epilogue_portable"; other operations keep the
// best).
// Throws Error(kKernel) for an unknown name or one that this CPU cannot run.
Kernels select_kernels(const std::string& request);

// Puts one kernel in the place of those of its operation. `name`: as in list_kernels(), perhaps with a tile, but none of "pack". Throws as select_kernels does.
void choose_kernel(Kernels& kernels, const std::string& name);

struct KernelFacts {
  std::string name, operation, isa, about;
  bool supported, is_default;
  std::vector<std::string> tiles = {};  // "6x64": pixels x channels; the kernel's name, a slash and one of them force it. Empty: the kernel has one
};
std::vector<KernelFacts> list_kernels();

// Tiles never have more pixels, panels never more channels.
constexpr uint32_t kMaxTilePixels = 64;
constexpr uint32_t kMaxPanel = 256;
constexpr uint32_t kDepthwisePixels = 16;  // of a depthwise convolution's tile

}  // namespace bitwright
