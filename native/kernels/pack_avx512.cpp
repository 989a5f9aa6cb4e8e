#include "entries.h"
namespace bitwright {
const PackKernel* const pack_avx512 = nullptr;
}  // namespace bitwright
