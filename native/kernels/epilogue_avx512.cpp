#include "entries.h"
namespace bitwright {
const EpilogueKernel* const epilogue_avx512 = nullptr;
}  // namespace bitwright
