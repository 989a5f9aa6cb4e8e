#include "prepare.h"

#include <algorithm>
#include <string>

#include "choice.h"
#include "preparation.h"
#include "prepare_layers.h"

namespace bitwright {
namespace {

// The file's i32 constants of i16 steps, as the kernels read them.
void shorts(Preparation& all, const OpInfo& op, PreparedOp& p) {
  const auto each = [&](const auto& use) {
    for (size_t k = 0; k < op.steps.size(); ++k) {
      const StepInfo& s = op.steps[k];
      if (!is_fixed(s.kind)) continue;
      if (s.a != kNone) use(s.a, p.steps[k].step.a16);
      if (s.b != kNone && !s.writes_bits()) use(s.b, p.steps[k].step.b16);
    }
  };
  const auto stride = [&](uint32_t id) { return round_up(all.model().constants[id].elements + 32, 32); };
  uint64_t elements = 0;
  each([&](uint32_t id, const int16_t*&) { elements += stride(id); });
  if (elements == 0) return;
  all.charge(elements * 2);
  p.shorts = AlignedBuffer(elements * 2, true);
  auto* to = p.shorts.as<int16_t>();
  each([&](uint32_t id, const int16_t*& field) {
    const auto* from = all.constant<int32_t>(id);
    std::transform(from, from + all.model().constants[id].elements, to, [](int32_t x) { return static_cast<int16_t>(x); });
    field = to;
    to += stride(id);
  });
}

// Whether neither the steps nor the layouts tell a MAP's channels from its pixels. Of many channels nothing is gained.
bool is_flat(const Preparation& all, const OpInfo& op) {
  const ValueInfo& in = all.model().values[op.in];
  if (op.opcode != Opcode::kMap || in.dtype != DType::kF32 || in.channels() >= 64 || in.pixels() == 1) return false;
  return std::all_of(op.steps.begin(), op.steps.end(), [&](const StepInfo& s) {
    const bool gate = s.kind == StepKind::kMul && s.n == 1;
    return s.a == kNone && s.b == kNone && !gate && (s.value == kNone || all.model().values[s.value].dtype != DType::kBits);
  });
}

uint32_t channels_of(const Preparation& all, const OpInfo& op) { return op.out_channels != 0 ? op.out_channels : all.model().values[op.in].channels(); }

void steps(Preparation& all, const OpInfo& op, PreparedOp& p) {
  for (const StepInfo& s : op.steps) {
    PreparedStep out;
    out.value = s.value;
    out.step.kind = s.kind;
    out.step.n = s.n;
    out.step.p0 = s.p0;
    out.step.p1 = s.p1;
    if (s.kind != StepKind::kThreshold && !is_fixed(s.kind)) out.step.a = all.constant<float>(s.a);
    if (s.kind == StepKind::kAffine || s.kind == StepKind::kStoreLevels) out.step.b = all.constant<float>(s.b);
    if (s.writes_bits() && s.kind != StepKind::kStoreLevels) out.step.flip = all.constant<uint32_t>(s.b);
    if (s.value != kNone) {
      const ValueInfo& v = all.model().values[s.value];
      const bool gate = s.kind == StepKind::kMul && s.n == 1;
      out.step.value.pixel_stride = gate ? 0 : v.pixel_stride();
      out.step.value.groups = v.groups;
      out.step.value.group_channels = v.group_channels();
      if (s.kind == StepKind::kAdd) out.step.value_scale = v.scale;
      out.step.value.zero = static_cast<int32_t>(v.zero);
    }
    p.steps.push_back(out);
  }
  all.place_steps(p);
  shorts(all, op, p);
  if (p.steps.empty()) return;
  p.flat = is_flat(all, op);
  all.plan(p, p.flat ? kFlatChannels : channels_of(all, op));
}

// A kernel of the op's own operation: its sum's kernel, not its epilogue.
void choose_for(const Preparation& all, const OpInfo& op, PreparedOp& p, const std::string& text) {
  const Choice choice = parse_choice(text);
  const std::string& name = choice.kernel;
  p.item_pixels = choice.pixels;
  p.threads = choice.threads;
  const char* operation = operation_of(op, all.model().values[op.in]);
  if (!*operation) fail(Status::kKernel, all.where(), ": kernel '", name, "' is chosen, but this kind of op has no choice of kernels");
  for (const KernelFacts& k : list_kernels())
    if (k.name == name.substr(0, name.find('/')) && k.operation != operation)
      fail(Status::kKernel, all.where(), ": kernel '", name, "' is of the operation ", k.operation, "; one of ", operation, " is needed");
  choose_kernel(p.kernels, name);
}

void kernel_part(Preparation& all, const OpInfo& op, PreparedOp& p) {
  switch (op.opcode) {
    case Opcode::kBconv: return prepare_binary(all, op, p);
    case Opcode::kFconv: return prepare_floats(all, op, p);
    case Opcode::kQconv: return prepare_int8(all, op, p);
    case Opcode::kBmatmul: return prepare_matmul(all, op, p);
    case Opcode::kCopy: return;
    case Opcode::kBpool: return prepare_bit_pooling(all, op, p);
    default: return prepare_elementwise(all, op, p);
  }
}

// All ops, or, unless `only` is SIZE_MAX, one alone.
std::shared_ptr<const PreparedModel> prepare_ops(std::shared_ptr<const Model> of, const Kernels& kernels, const Choices& choices, size_t only) {
  Preparation all(std::move(of), kernels);
  const std::vector<OpInfo>& ops = all.model().ops;
  for (const auto& [op, name] : choices)
    if (op >= ops.size()) fail(Status::kArgument, "kernel '", name, "' is chosen for op ", op, ": the model has ", ops.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    all.at(i);
    PreparedOp p;
    p.kernels = kernels;
    if (only == SIZE_MAX || i == only) {
      const auto choice = choices.find(i);
      if (choice != choices.end()) choose_for(all, ops[i], p, choice->second);
      steps(all, ops[i], p);
      kernel_part(all, ops[i], p);
    }
    all.ops().push_back(std::move(p));
  }
  for (size_t i = 0; only == SIZE_MAX && i + 1 < ops.size(); ++i) {
    all.at(i);
    pool_sums(all, ops[i], all.ops()[i], ops[i + 1], all.ops()[i + 1]);
  }
  return all.finish();
}

}  // namespace

const char* operation_of(const OpInfo& op, const ValueInfo& input) {
  switch (op.opcode) {
    case Opcode::kBconv: return op.depthwise(input) ? "bdepthwise" : "bconv";
    case Opcode::kBmatmul: return "bconv";
    case Opcode::kFconv: return "fconv";
    case Opcode::kQconv: return "qconv";
    default: return "";
  }
}

std::shared_ptr<const PreparedModel> prepare(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices) {
  return prepare_ops(std::move(model), kernels, choices, SIZE_MAX);
}

std::shared_ptr<const PreparedModel> prepare_op(std::shared_ptr<const Model> model, const Kernels& kernels, const Choices& choices, size_t op) {
  return prepare_ops(std::move(model), kernels, choices, op);
}

}  // namespace bitwright
