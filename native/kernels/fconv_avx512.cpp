#include "entries.h"
namespace bitwright {
const FloatKernel* const fconv_avx512 = nullptr;
}  // namespace bitwright
