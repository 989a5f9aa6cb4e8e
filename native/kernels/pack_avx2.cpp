#include "entries.h"
namespace bitwright {
const PackKernel* const pack_avx2 = nullptr;
}  // namespace bitwright
