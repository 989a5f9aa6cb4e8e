// Asking for a panel of weights before it is counted with: in a network the layers between two runs of one have driven it out of L2, and the first
// pass over a panel would wait for line after line.
#pragma once

#include <cstddef>
#include <cstdint>

#include "prepare.h"

#if defined(_MSC_VER) && !defined(__clang__) && (defined(_M_X64) || defined(_M_IX86))
#include <immintrin.h>
#endif

namespace bitwright {

inline void prefetch_far(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(p, 0, 2);
#elif defined(_M_X64) || defined(_M_IX86)
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
#else
  (void)p;
#endif
}

// The share [part, part + parts) of `all` of a panel.
inline void prefetch_weights(const PreparedOp& op, uint32_t panel, size_t part, size_t all, size_t parts = 1) {
  const uint8_t* weights = op.weights.as<uint8_t>() + panel * op.panel_bytes;
  for (size_t at = op.panel_bytes * part / all / 64 * 64, end = op.panel_bytes * (part + parts) / all; at < end; at += 64) prefetch_far(weights + at);
}

}  // namespace bitwright
