// Choosing the kernel of an op by timing: the layer as it is, on made-up values, with the session's threads. Only among kernels that give the same
// result bit for bit: float convolutions, whose kernels add in different orders, are left as they are.
#pragma once

#include <string>
#include <vector>

#include "session.h"

namespace bitwright {

struct KernelTime {
  std::string kernel;
  uint64_t ns = 0;  // median
};

struct TunedOp {
  std::string standard;           // the kernel without tuning
  std::string chosen;
  std::vector<KernelTime> times;  // of those that were timed, the standard one first; none if there is no choice
};

// The names of the kernels that can run the op on this CPU, without variants that come to the same; empty where there is no choice of kernels.
std::vector<std::string> kernels_for(const Session& session, size_t op);

// Times the kernels that can run the op, in turn, and chooses the fastest; the standard one unless another is faster by more than 3 % in the median of
// the rounds' ratios, so that noise changes nothing. Throws Error(kArgument) if the session's kernels are forced. Kernels that take more than three times the best one's time are timed once only.
TunedOp tune_op(Session& session, size_t op, uint32_t samples);

// All that the time of an op depends on but the machine, the batch and the threads: ops with the same text share a choice.
std::string layer_text(const Model& model, size_t op);

// A choice for each op that gains by one: for SessionOptions::choices.
Choices tune_all(Session& session, uint32_t samples);

}  // namespace bitwright
