#include "entries.h"
namespace bitwright {
const FloatKernel* const fconv_avx2 = nullptr;
}  // namespace bitwright
