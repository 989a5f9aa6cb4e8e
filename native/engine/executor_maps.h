// The ops without a micro-kernel of their own: pooling, elementwise, copies, embedding.
#pragma once

#include <vector>

#include "executor.h"

namespace bitwright {

// An op's steps with the addresses of this run.
class StepList {
 public:
  StepList(const RunContext& run, const PreparedOp& op);
  const Step* data() const { return steps_.data(); }
  size_t size() const { return steps_.size(); }

 private:
  std::vector<Step> steps_;
};

void run_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_bit_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_map(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_copy(const RunContext& run, const OpInfo& info);
void run_embed(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
