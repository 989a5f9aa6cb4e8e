#include "entries.h"
namespace bitwright {
const EpilogueKernel* const epilogue_avx2 = nullptr;
}  // namespace bitwright
