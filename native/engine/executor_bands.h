// A stem and the pooling behind it, a band of rows at a time. The map between them is the network's largest and is read once: only as much of it
// exists at a time as stays in L2. The rows that two bands share are moved, not computed again.
#pragma once

#include <vector>

#include "executor.h"

namespace bitwright {

// Which ops of a model run so, and the memory they need.
class Bands {
 public:
  // band_bytes: of a map that exist at a time, at least a row of windows. A map of less than twice that is not worth it.
  Bands(const Model& model, uint64_t band_bytes);

  // Whether op `index`, a float or int8 convolution, and the pooling right behind it run together.
  bool begin_at(size_t index) const { return begins_[index] != 0; }
  size_t thread_bytes() const { return thread_bytes_; }  // a multiple of 64

  // Runs both. `memory`: thread_bytes() of each thread. Adds to ns[0] and ns[1], if there is `ns`, what the two took of the time.
  void run(const RunContext& run, size_t index, uint8_t* memory, uint64_t* ns) const;

 private:
  std::vector<uint8_t> begins_;  // by op
  size_t band_bytes_ = 0, thread_bytes_ = 0;
};

}  // namespace bitwright
