#include "executor.h"

#include <cstring>

#include "executor_maps.h"
#include "executor_matmul.h"
#include "executor_minimal.h"
#include "executor_numbers.h"
#include "executor_pixels.h"
#include "executor_sliced.h"

namespace bitwright {

// Mostly they are the same as in the run before; then nothing is written, so that other threads find them in their caches.
StepList::StepList(const RunContext& run, const PreparedOp& op, std::optional<size_t> pixel_stride) : steps_(run.steps + op.steps_at), size_(op.steps.size()) {
  Step* to = steps_;
  for (const PreparedStep& p : op.steps) {
    Step step = p.step;
    if (p.value != kNone) {
      const View& view = run.view(p.value);
      step.value.data = view.data;
      const size_t per_word = 4 / run.prepared->model->values[p.value].element_bytes();
      step.value.sample_stride = view.sample_stride * per_word;
    }
    if (pixel_stride) step.value.pixel_stride = *pixel_stride;
    if (std::memcmp(static_cast<const void*>(to), &step, sizeof step) != 0) *to = step;
    ++to;
  }
}

void run_op(const RunContext& run, size_t index) {
  const OpInfo& info = run.prepared->model->ops[index];
  const PreparedOp& op = run.prepared->ops[index];
  const Pool::AtMost limit(op.threads);
  switch (info.opcode) {
    case Opcode::kBconv:
      if (op.bit_depthwise) return run_depthwise(run, info, op);
      if (op.sliced) return run_sliced(run, info, op);
      op.pixels && pixels_pay(run, op) ? run_pixels(run, info, op) : run_counts(run, info, op);
      break;
    case Opcode::kFconv: op.minimal ? run_minimal(run, info, op) : run_float(run, info, op); break;
    case Opcode::kQconv: run_int8(run, info, op); break;
    case Opcode::kPool: run_pool(run, info, op); break;
    case Opcode::kBpool: run_bit_pool(run, info, op); break;
    case Opcode::kMap: run_map(run, info, op); break;
    case Opcode::kCopy: run_copy(run, info); break;
    case Opcode::kBmatmul: run_matmul(run, info, op); break;
    case Opcode::kEmbed: run_embed(run, info, op); break;
  }
}

}  // namespace bitwright
