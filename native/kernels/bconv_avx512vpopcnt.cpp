#include "entries.h"
namespace bitwright {
const BinaryKernel* const bconv_avx512vpopcnt = nullptr;
}  // namespace bitwright
