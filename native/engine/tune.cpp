#include "tune.h"

#include <algorithm>
#include <sstream>

#include "describe.h"
#include "error.h"
#include "item_pixels.h"

namespace bitwright {
namespace {

constexpr double kMargin = 1.02;   // that a choice has to gain
constexpr double kPromise = 1.01;  // to be worth another look
constexpr uint64_t kNanosecondsOfRounds = 20'000'000;  // of one comparison
constexpr uint32_t kMinRounds = 7, kMaxRounds = 101;

using Variant = std::shared_ptr<const PreparedModel>;

template <class T>
T quantile(std::vector<T> v, double share) {
  const auto at = v.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), at, v.end());
  return *at;
}

// Prepared as it is without a choice for it.
Variant standard_of(const PreparedModel& prepared, size_t op) {
  if (op >= prepared.model->ops.size()) fail(Status::kArgument, "op ", op, ": the model has ", prepared.model->ops.size());
  if (prepared.kernels.forced) fail(Status::kArgument, "the kernels are forced, by the session's own argument or by BITWRIGHT_KERNEL: there is none to choose by timing");
  return prepare_op(prepared.model, prepared.kernels, {}, op);
}

Variant variant(const PreparedModel& prepared, size_t op, const Choice& choice) {
  return prepare_op(prepared.model, prepared.kernels, Choices{{op, text_of(choice)}}, op);
}

// Whether both count by the same code in tiles of the same size.
bool alike(const PreparedOp& a, const PreparedOp& b) {
  const auto popcount = [](const PreparedOp& p) { return p.binary && !p.sliced && !p.pixels; };
  return popcount(a) && popcount(b) && a.binary->count16 == b.binary->count16 && a.binary->mr == b.binary->mr;
}

// The standard one first, each with a kernel or tile of its own. Empty: no choice.
std::vector<Variant> kernel_variants(const PreparedModel& prepared, size_t op) {
  const Variant standard = standard_of(prepared, op);
  const Model& model = *prepared.model;
  const std::string operation = operation_of(model.ops[op], model.values[model.ops[op].in]);
  if (operation.empty() || operation == "fconv") return {};
  std::vector<Variant> variants{standard};
  for (const KernelFacts& k : list_kernels()) {
    if (k.operation != operation || !k.supported) continue;
    std::vector<std::string> names{k.name};
    for (const std::string& tile : k.tiles) names.push_back(k.name + "/" + tile);
    for (const std::string& name : names) {
      Variant v = variant(prepared, op, {name});
      if (facts_of(*v, op).kernel != name) continue;  // this kernel does not take the layer, or another variant of it does
      const bool known = std::any_of(variants.begin(), variants.end(), [&](const Variant& other) {
        return name == facts_of(*other, op).kernel || alike(v->ops[op], other->ops[op]);
      });
      if (!known) variants.push_back(std::move(v));
    }
  }
  return variants;
}

// The same with other items and fewer threads, one thing at a time.
std::vector<Variant> blocked_variants(const PreparedModel& prepared, size_t op, const Variant& from, unsigned threads, uint64_t samples) {
  std::vector<Variant> variants{from};
  const PreparedOp& p = from->ops[op];
  const Choice choice = choice_of(*from, op);
  if (takes_items(prepared.model->ops[op], p)) {
    const uint32_t rule = item_pixels(p);
    const uint64_t pixels = samples * p.table->pixels;
    for (const uint64_t n : {uint64_t{rule} / 4, uint64_t{rule} / 2, uint64_t{rule} * 2, uint64_t{rule} * 4}) {
      if (n < 8 || n > kMostItemPixels || std::min(n, uint64_t{rule}) >= pixels) continue;  // all is one item as it is
      Variant v = variant(prepared, op, {choice.kernel, static_cast<uint32_t>(n), 0});
      if (item_pixels(v->ops[op]) == n) variants.push_back(std::move(v));
    }
  }
  for (unsigned n = threads / 2; n > 0; n /= 2) variants.push_back(variant(prepared, op, {choice.kernel, 0, n}));
  return variants;
}

// Comparisons of one op's variants. Keeps the time of each.
class Contest {
 public:
  Contest(Session& session, size_t op, uint32_t samples, std::vector<KernelTime>& times) : session_(session), op_(op), samples_(samples), times_(times) {}

  std::string text(const Variant& v) const { return text_of(choice_of(*v, op_)); }

  // Ratios of the first one's time to that of each, round by round; empty for what one round showed to be out of question.
  std::vector<std::vector<double>> ratios(const std::vector<Variant>& variants, uint32_t effort = 1) {
    const auto first = session_.time_variants(op_, samples_, variants, 1);
    uint64_t best = UINT64_MAX, total = 0;
    for (const auto& ns : first) best = std::min(best, ns.front());
    std::vector<Variant> left;
    std::vector<size_t> place, slow;
    for (size_t i = 0; i < variants.size(); ++i) {
      if (i != 0 && first[i].front() / 3 > best) {
        slow.push_back(i);
        continue;
      }
      left.push_back(variants[i]);
      place.push_back(i);
      total += first[i].front();
    }
    const auto rounds = std::clamp<uint64_t>(effort * kNanosecondsOfRounds / std::max<uint64_t>(total, 1), kMinRounds, effort * kMaxRounds);
    const auto ns = session_.time_variants(op_, samples_, left, static_cast<uint32_t>(rounds));
    std::vector<std::vector<double>> all(variants.size());
    for (size_t i = 0; i < left.size(); ++i) {
      keep(left[i], quantile(ns[i], 0.5));
      for (uint64_t k = 0; k < rounds; ++k) all[place[i]].push_back(static_cast<double>(ns[0][k]) / static_cast<double>(std::max<uint64_t>(ns[i][k], 1)));
    }
    for (size_t i : slow) keep(variants[i], first[i].front());
    return all;
  }

  // The fastest, if it is faster than the first by more than a little.
  Variant winner(const std::vector<Variant>& variants) {
    const auto all = ratios(variants);
    double most = kPromise;
    size_t best = 0;
    for (size_t i = 1; i < variants.size(); ++i) {
      const double middle = all[i].empty() ? 0 : quantile(all[i], 0.5);
      if (middle > most) most = middle, best = i;
    }
    return variants[best];
  }

 private:
  void keep(const Variant& v, uint64_t ns) {
    const std::string name = text(v);
    if (std::none_of(times_.begin(), times_.end(), [&](const KernelTime& t) { return t.choice == name; })) times_.push_back({name, ns});
  }

  Session& session_;
  const size_t op_;
  const uint32_t samples_;
  std::vector<KernelTime>& times_;
};

}  // namespace

std::vector<std::string> kernels_for(const Session& session, size_t op) {
  std::vector<std::string> names;
  for (const Variant& v : kernel_variants(session.prepared(), op)) names.push_back(facts_of(*v, op).kernel);
  return names;
}

TunedOp tune_op(Session& session, size_t op, uint32_t samples) {
  const std::vector<Variant> kernels = kernel_variants(session.prepared(), op);
  TunedOp result;
  if (kernels.empty()) {
    result.standard = result.chosen = facts_of(session.prepared(), op).kernel;
    return result;
  }
  Contest contest(session, op, samples, result.times);
  const Variant& standard = kernels.front();
  result.standard = result.chosen = contest.text(standard);
  const Variant fastest = contest.winner(kernels);
  const std::vector<Variant> blocked = blocked_variants(session.prepared(), op, fastest, session.threads(), samples);
  const Variant best = blocked.size() == 1 ? fastest : contest.winner(blocked);
  std::vector<Variant> last{standard};
  if (best != standard) last.push_back(best);
  if (fastest != standard && fastest != best) last.push_back(fastest);
  if (last.size() == 1) return result;
  const auto ratios = contest.ratios(last, 2);
  for (size_t i = 1; i < last.size(); ++i) {
    if (ratios[i].empty()) continue;
    const double gain = quantile(ratios[i], 0.5);
    if (gain < std::max(kMargin, result.gain) || quantile(ratios[i], 0.25) < 1) continue;
    result.gain = gain;
    result.chosen = contest.text(last[i]);
  }
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
