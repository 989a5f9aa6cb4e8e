#include "tune.h"

#include <algorithm>
#include <sstream>

#include "describe.h"
#include "error.h"

namespace bitwright {
namespace {

constexpr double kMargin = 1.03;
constexpr uint64_t kNanosecondsOfRounds = 20'000'000;  // of one op
constexpr uint32_t kMinRounds = 7, kMaxRounds = 101;

template <class T>
T median(std::vector<T> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

using Variant = std::shared_ptr<const PreparedModel>;

// Prepared variants of the op, the standard one first, each with a kernel of its own.
std::vector<Variant> variants_of(const PreparedModel& prepared, size_t op) {
  const std::shared_ptr<const Model>& model = prepared.model;
  const Kernels& kernels = prepared.kernels;
  if (op >= model->ops.size()) fail(Status::kArgument, "op ", op, ": the model has ", model->ops.size());
  if (kernels.forced) fail(Status::kArgument, "the kernels are forced, by the session's own argument or by BITWRIGHT_KERNEL: there is none to choose by timing");
  const std::string operation = operation_of(model->ops[op], model->values[model->ops[op].in]);
  if (operation.empty() || operation == "fconv") return {};
  std::vector<Variant> variants{prepare_op(model, kernels, {}, op)};
  for (const KernelFacts& k : list_kernels()) {
    if (k.operation != operation || !k.supported) continue;
    Variant v = prepare_op(model, kernels, Choices{{op, k.name}}, op);
    const std::string name = facts_of(*v, op).kernel;
    if (name != k.name) continue;  // this kernel does not take the layer, or its narrower variant does
    const bool known = std::any_of(variants.begin(), variants.end(), [&](const Variant& other) { return name == facts_of(*other, op).kernel; });
    if (!known) variants.push_back(std::move(v));
  }
  return variants;
}

}  // namespace

std::vector<std::string> kernels_for(const Session& session, size_t op) {
  std::vector<std::string> names;
  for (const Variant& v : variants_of(session.prepared(), op)) names.push_back(facts_of(*v, op).kernel);
  return names;
}

TunedOp tune_op(Session& session, size_t op, uint32_t samples) {
  const std::vector<Variant> variants = variants_of(session.prepared(), op);
  TunedOp result;
  if (variants.empty()) {
    result.standard = result.chosen = facts_of(session.prepared(), op).kernel;
    return result;
  }
  const auto name = [&](const Variant& v) { return std::string(facts_of(*v, op).kernel); };
  result.standard = result.chosen = name(variants.front());
  // One round finds those that are out of question.
  const auto first = session.time_variants(op, samples, variants, 1);
  uint64_t best = UINT64_MAX, total = 0;
  for (const auto& ns : first) best = std::min(best, ns.front());
  std::vector<Variant> left;
  std::vector<KernelTime> slow;
  for (size_t i = 0; i < variants.size(); ++i) {
    if (i != 0 && first[i].front() / 3 > best) {
      slow.push_back({name(variants[i]), first[i].front()});
      continue;
    }
    left.push_back(variants[i]);
    total += first[i].front();
  }
  const auto rounds = static_cast<uint32_t>(std::clamp<uint64_t>(kNanosecondsOfRounds / std::max<uint64_t>(total, 1), kMinRounds, kMaxRounds));
  const auto times = session.time_variants(op, samples, left, rounds);
  double gain = kMargin;
  for (size_t i = 0; i < left.size(); ++i) {
    result.times.push_back({name(left[i]), median(times[i])});
    std::vector<double> ratio;
    for (uint32_t k = 0; k < rounds; ++k) ratio.push_back(static_cast<double>(times[0][k]) / static_cast<double>(std::max<uint64_t>(times[i][k], 1)));
    const double middle = median(std::move(ratio));
    if (i == 0 || middle <= gain) continue;
    gain = middle;
    result.chosen = name(left[i]);
  }
  result.times.insert(result.times.end(), slow.begin(), slow.end());
  return result;
}

std::string layer_text(const Model& model, size_t index) {
  if (index >= model.ops.size()) fail(Status::kArgument, "op ", index, ": the model has ", model.ops.size());
  const OpInfo& op = model.ops[index];
  const Geometry& g = op.geometry;
  std::ostringstream s;
  const auto value = [&](uint32_t id) {
    const ValueInfo& v = model.values[id];
    s << name_of(v.dtype) << '[' << v.dims[0] << ',' << v.dims[1] << ',' << v.dims[2] << ',' << v.dims[3] << ']';
    if (v.groups != 1) s << 'g' << v.groups;
    if (v.planes != 1) s << 'p' << v.planes;
  };
  const auto three = [&](const char* name, const uint32_t* x) { s << ' ' << name << ' ' << x[0] << ',' << x[1] << ',' << x[2]; };
  s << name_of(op.opcode) << ' ';
  value(op.in);
  if (op.rhs != kNone) {
    s << " x ";
    value(op.rhs);
  }
  s << " -> " << op.out_channels << '[' << op.out[0] << ',' << op.out[1] << ',' << op.out[2] << ']';
  three("kernel", g.kernel), three("stride", g.stride), three("dilation", g.dilation), three("pad", g.pad_begin), three("pad end", g.pad_end);
  s << " groups " << g.groups << " padding " << static_cast<uint32_t>(g.pad_mode) << (g.transposed ? " transposed" : "") << " low " << op.low
    << (op.along_tokens ? " along tokens" : "") << ';';
  for (const StepInfo& step : op.steps) {
    s << ' ' << name_of(step.kind);
    if (step.value != kNone) {
      s << ' ';
      value(step.value);
    }
  }
  return s.str();
}

Choices tune_all(Session& session, uint32_t samples) {
  Choices choices;
  std::map<std::string, TunedOp> known;
  const Model& model = session.model();
  for (size_t op = 0; op < model.ops.size(); ++op) {
    const std::string text = layer_text(model, op);
    auto at = known.find(text);
    if (at == known.end()) at = known.emplace(text, tune_op(session, op, samples)).first;
    if (at->second.chosen != at->second.standard) choices[op] = at->second.chosen;
  }
  return choices;
}

}  // namespace bitwright
