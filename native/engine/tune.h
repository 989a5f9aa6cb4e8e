// Choosing by timing how an op runs: the layer as it is, on made-up values, with the session's threads. What is chosen is a text of choice.h: a kernel, or
// one of its register tiles; the pixels of a work item; the number of threads. Only among ways that give the same result bit for bit: float
// convolutions, whose kernels add in different orders, are left as they are.
#pragma once

#include <string>
#include <vector>

#include "session.h"

namespace bitwright {

struct KernelTime {
  std::string choice;
  uint64_t ns = 0;  // median
};

struct TunedOp {
  std::string standard;           // without tuning
  std::string chosen;
  double gain = 1;                // standard time / chosen time, measured again after the choice
  std::vector<KernelTime> times;  // of those that were timed, the standard one first; none if there is no choice
};

// The kernels and tiles that can run the op on this CPU, by name, without those that come to the same, the standard one first; empty where there is no
// choice.
std::vector<std::string> kernels_for(const Session& session, size_t op);

// Times, in turn, the kernels and tiles that can run the op; then, with the fastest, items of other sizes and fewer threads. What wins is timed once more
// against the standard, and stays the choice if it is faster by more than 2 % in the median of the rounds' ratios and in three rounds of four: so
// neither noise nor the luck of the best of many changes anything. Throws Error(kArgument) if the session's kernels are forced. What takes more than three times
// the best one's time is timed once only.
TunedOp tune_op(Session& session, size_t op, uint32_t samples);

// All that the time of an op depends on but the machine, the batch and the threads: ops with the same text share a choice.
std::string layer_text(const Model& model, size_t op);

// A choice for each op that gains by one: for SessionOptions::choices.
Choices tune_all(Session& session, uint32_t samples);

}  // namespace bitwright
