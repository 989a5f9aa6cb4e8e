#include "describe.h"

#include <set>

namespace bitwright {

Choice choice_of(const PreparedModel& prepared, size_t op) {
  return {facts_of(prepared, op).kernel, prepared.ops[op].item_pixels, prepared.ops[op].threads};
}

OpFacts facts_of(const PreparedModel& prepared, size_t index) {
  const Model& model = *prepared.model;
  const OpInfo& op = model.ops[index];
  OpFacts f;
  const uint64_t outputs = uint64_t{op.out_pixels()} * op.out_channels;
  const uint64_t per_output = uint64_t{op.geometry.taps()} * (model.values[op.in].channels() / op.geometry.groups);
  f.epilogue = prepared.ops[index].kernels.epilogue->name;
  switch (op.opcode) {
    case Opcode::kBconv: {
      const PreparedOp& p = prepared.ops[index];
      f.kernel = p.bit_depthwise ? prepared.ops[index].kernels.depthwise->name : p.sliced ? p.sliced->kernel->name : p.binary->name;
      f.binary_macs = outputs * per_output;
      break;
    }
    case Opcode::kFconv:
      f.kernel = prepared.ops[index].minimal ? prepared.ops[index].minimal->kernel->name : prepared.ops[index].kernels.floats->name;
      f.float_macs = outputs * per_output;
      break;
    case Opcode::kQconv:
      f.kernel = prepared.ops[index].kernels.int8->name;
      f.int8_macs = outputs * per_output;
      break;
    case Opcode::kBmatmul:
      f.kernel = prepared.ops[index].binary->name;
      f.binary_macs = outputs * per_output;
      break;
    case Opcode::kPool: f.kernel = prepared.kernels.pool->name; break;
    case Opcode::kBpool:
      f.kernel = "bpool";
      f.epilogue = "";
      break;
    case Opcode::kMap: f.kernel = f.epilogue; break;
    case Opcode::kEmbed: f.kernel = "embed"; break;
    case Opcode::kCopy:
      f.kernel = "copy";
      f.epilogue = "";
      break;
  }
  if (f.binary_macs) f.planes = model.values[op.in].planes;
  const PreparedOp& prepared_op = prepared.ops[index];
  f.packed_bytes = prepared_op.weights.size() + prepared_op.rows.size();
  if (prepared_op.sliced) f.packed_bytes += prepared_op.sliced->limits.size() + prepared_op.sliced->flips.size();
  std::set<uint32_t> constants;
  if (op.weight != kNone) {
    constants.insert(op.weight);
    f.weight_bytes = model.constants[op.weight].bytes();
  }
  constants.insert(op.scale);
  constants.insert(op.flip);
  constants.insert(op.padding);
  for (const StepInfo& step : op.steps) {
    constants.insert(step.a);
    constants.insert(step.b);
  }
  constants.erase(kNone);
  for (uint32_t id : constants) f.constant_bytes += model.constants[id].bytes();
  return f;
}

}  // namespace bitwright
