// The peer of bconv_avx2: the classic popcount by vpshufb over nibbles.
#pragma once

#include "kernel.h"

// "classic_avx2", or null where this build or CPU has no AVX2. Only count16 and pack.
const bitwright::BinaryKernel* classic_popcount();
