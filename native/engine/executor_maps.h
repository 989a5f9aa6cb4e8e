// The ops without a micro-kernel of their own: pooling, elementwise, copies, embedding.
#pragma once

#include <optional>

#include "executor.h"

namespace bitwright {

// An op's steps with the addresses of this run, in the run's memory: one at a time.
class StepList {
 public:
  // pixel_stride: in elements, in place of the values' own.
  StepList(const RunContext& run, const PreparedOp& op, std::optional<size_t> pixel_stride = {});
  const Step* data() const { return steps_; }
  size_t size() const { return size_; }

 private:
  Step* steps_;
  size_t size_;
};

void run_depthwise(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_bit_pool(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_map(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_copy(const RunContext& run, const OpInfo& info);
void run_embed(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
