#include "entries.h"
namespace bitwright {
const BinaryKernel* const bconv_avx2 = nullptr;
}  // namespace bitwright
