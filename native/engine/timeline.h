// Moments of a job, for bench/timeline only: without BITWRIGHT_TIMELINE nothing is compiled.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitwright {

enum class Moment : uint8_t { kOp, kFork, kEntered, kItem, kFeatures, kItemDone, kNoMore, kJoined };

#ifdef BITWRIGHT_TIMELINE
void stamp(Moment moment, unsigned thread, size_t item = 0);
#else
inline void stamp(Moment, unsigned, size_t = 0) {}
#endif

}  // namespace bitwright
