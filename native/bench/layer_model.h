// A model of one binary layer, random bits and weights.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "layers.h"

namespace bitwright::layers_bench {

struct Weights : Storage {
  std::vector<uint32_t> bits;
  std::vector<int32_t> limit;
};

inline uint32_t add_value(Model& m, DType dtype, uint32_t size, uint32_t channels) {
  ValueInfo v;
  v.dtype = dtype;
  v.dims = {1, size, size, channels};
  v.bytes = value_bytes(v, m.limits.arena_bytes, "value");
  v.offset = m.arena_bytes;
  m.arena_bytes += v.bytes;
  m.values.push_back(v);
  return static_cast<uint32_t>(m.values.size() - 1);
}

inline std::shared_ptr<const Model> model_of(const Layer& l, bool threshold) {
  std::mt19937 random(1);
  auto m = std::make_shared<Model>();
  auto w = std::make_shared<Weights>();
  OpInfo op;
  op.opcode = Opcode::kBconv;
  l.shape(op);
  op.in = add_value(*m, DType::kBits, l.size, l.channels);
  const uint32_t to = add_value(*m, threshold ? DType::kBits : DType::kF32, l.out(), l.outputs);
  w->bits.resize(size_t{l.outputs} * l.kernel * l.kernel * m->values[op.in].words());
  for (uint32_t& word : w->bits) word = random();
  w->limit.assign(l.outputs, 0);
  m->constants.push_back({ConstType::kU32, w->bits.size(), w->bits.data()});
  m->constants.push_back({ConstType::kI32, w->limit.size(), w->limit.data()});
  op.steps.push_back({threshold ? StepKind::kThreshold : StepKind::kStore, to, threshold ? 1 : kNone, kNone, 0, 0, 0});
  m->ops.push_back(op);
  m->storage = w;
  return m;
}

}  // namespace bitwright::layers_bench
