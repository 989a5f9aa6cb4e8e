// The memory plan: who writes a value, how long it lives, that no two living values share bytes, but for a sum that is stored where its summand was.
#include <algorithm>
#include <map>

#include "check.h"
#include "error.h"

namespace bitwright {
namespace {

std::string label(const Model& model, size_t i) { return text("op ", i, " (", name_of(model.ops[i].opcode), ")"); }

struct Life {
  int64_t first = -2;  // index of the op that writes it first; -1 for a model input, -2 for nobody
  int64_t last = -2;   // index of the last op that writes or reads it
};

// COPYs into one value: consecutive, disjoint, covering all channels (boxes of one pixel: those of all pixels). `first` is the index of the first one; returns the last one's.
size_t check_copies(const Model& model, size_t first) {
  const OpInfo& head = model.ops[first];
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  size_t end = first;
  for (; end < model.ops.size() && model.ops[end].opcode == Opcode::kCopy && model.ops[end].target == head.target; ++end) {
    const OpInfo& op = model.ops[end];
    if (op.zero_rest && (end != first || (end + 1 < model.ops.size() && model.ops[end + 1].opcode == Opcode::kCopy &&
                                          model.ops[end + 1].target == head.target)))
      bad_model(label(model, end), ": zero_rest, but not the only COPY into value ", head.target);
    if (op.one_pixel != head.one_pixel) bad_model(label(model, end), ": a box of one pixel beside one of the whole map into value ", head.target);
    ranges.emplace_back(op.dst_channel, op.dst_channel + op.count[3]);
  }
  if (head.zero_rest) return end - 1;
  std::sort(ranges.begin(), ranges.end());
  uint32_t covered = 0;
  for (const auto& [from, to] : ranges) {
    if (from < covered) bad_model(label(model, first), ": COPYs into value ", head.target, " overlap at channel ", from);
    if (from > covered) bad_model(label(model, first), ": no COPY fills channel ", covered, " of value ", head.target);
    covered = to;
  }
  const uint32_t channels = model.values[head.target].channels() * (head.one_pixel ? static_cast<uint32_t>(model.values[head.target].pixels()) : 1);
  if (covered != channels) bad_model(label(model, first), ": no COPY fills channel ", covered, " of value ", head.target);
  return end - 1;
}

std::vector<Life> lives(const Model& model) {
  std::vector<Life> life(model.values.size());
  for (uint32_t id : model.inputs) life[id] = {-1, -1};
  const auto write = [&](uint32_t id, size_t i) {
    if (model.values[id].is_input) bad_model(label(model, i), ": writes value ", id, ", a model input");
    if (life[id].first != -2) bad_model(label(model, i), ": writes value ", id, ", which ", label(model, life[id].first), " wrote");
    life[id] = {static_cast<int64_t>(i), static_cast<int64_t>(i)};
  };
  const auto read = [&](size_t i) {
    for (uint32_t id : model.ops[i].reads()) {
      if (life[id].first == -2) bad_model(label(model, i), ": reads value ", id, " before it is written");
      life[id].last = static_cast<int64_t>(i);
    }
  };
  for (size_t i = 0; i < model.ops.size(); ++i) {
    if (model.ops[i].opcode == Opcode::kCopy) {
      const size_t last = check_copies(model, i);
      for (size_t k = i; k <= last; ++k) read(k);  // none of them may read what they fill together
      write(model.ops[i].target, i);
      life[model.ops[i].target].last = static_cast<int64_t>(last);
      i = last;
      continue;
    }
    read(i);
    for (uint32_t id : model.ops[i].writes()) write(id, i);
  }
  for (uint32_t id = 0; id < life.size(); ++id)
    if (life[id].first == -2) bad_model("value ", id, ": no op writes it");
  for (uint32_t id : model.outputs) life[id].last = static_cast<int64_t>(model.ops.size());
  return life;
}

// Whether op i may store `heir` in the place of `old`: a BCONV, which adds each element of `old`, that nobody reads again, before it stores the
// same element of `heir`.
bool takes_place(const Model& model, const std::vector<Life>& life, int64_t i, uint32_t old, uint32_t heir) {
  const ValueInfo &from = model.values[old], &to = model.values[heir];
  if (i < 0 || life[old].first < 0 || life[old].last != i || to.is_output || model.version_minor < 1) return false;
  if (from.offset != to.offset || from.dtype != to.dtype || from.dims != to.dims) return false;
  const OpInfo& op = model.ops[static_cast<size_t>(i)];
  if (op.opcode != Opcode::kBconv || op.in == old) return false;
  bool added = false, stored = false;
  for (const StepInfo& s : op.steps) {
    if (s.reads() && s.value == old) {
      if (added || (s.kind != StepKind::kAdd && s.kind != StepKind::kAddI16)) return false;
      added = true;
    }
    if ((s.kind == StepKind::kStore || s.kind == StepKind::kStoreI16) && s.value == heir) stored = added;
  }
  return added && stored;
}

}  // namespace

void check_plan(const Model& model) {
  const std::vector<Life> life = lives(model);
  std::vector<uint32_t> births(model.values.size()), deaths(model.values.size());
  for (uint32_t id = 0; id < births.size(); ++id) births[id] = deaths[id] = id;
  std::sort(births.begin(), births.end(), [&](uint32_t a, uint32_t b) { return life[a].first < life[b].first; });
  std::sort(deaths.begin(), deaths.end(), [&](uint32_t a, uint32_t b) { return life[a].last < life[b].last; });
  // Sweep over time: before each birth, forget the values whose last reader ran before it.
  std::map<uint64_t, uint32_t> living;  // arena offset -> value
  size_t dead = 0;
  for (uint32_t id : births) {
    for (; life[deaths[dead]].last < life[id].first; ++dead) {
      const auto it = living.find(model.values[deaths[dead]].offset);
      if (it != living.end() && it->second == deaths[dead]) living.erase(it);  // else another value has its place
    }
    const ValueInfo& v = model.values[id];
    const auto after = living.lower_bound(v.offset);
    if (after != living.end() && takes_place(model, life, life[id].first, after->second, id)) {
      after->second = id;
      continue;
    }
    uint32_t other = kNone;
    if (after != living.end() && after->first < v.offset + v.bytes) other = after->second;
    if (after != living.begin()) {
      const uint32_t before = std::prev(after)->second;
      if (model.values[before].offset + model.values[before].bytes > v.offset) other = before;
    }
    if (other != kNone)
      bad_model("value ", id, ": arena bytes ", v.offset, " to ", v.offset + v.bytes - 1, " overlap those of value ", other, ", which lives at the same time");
    living.emplace(v.offset, id);
  }
}

}  // namespace bitwright
