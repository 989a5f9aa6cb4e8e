// What the tests share that make models in memory: values one behind the other, inputs and outputs, random arrays.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "model.h"

namespace bitwright::models_test {

using Random = std::independent_bits_engine<std::mt19937, 32, uint32_t>;

// Gives its id. Scale and zero point of a quantized one.
inline uint32_t add_value(Model& model, DType dtype, const std::array<uint32_t, 4>& dims, float scale = 0, uint32_t zero = 0) {
  ValueInfo v;
  v.dtype = dtype;
  v.dims = dims;
  if (v.quantized()) v.scale = scale;
  if (dtype == DType::kU8) v.zero = zero;
  v.bytes = value_bytes(v, uint64_t{1} << 40, "value");
  v.offset = model.values.empty() ? 0 : model.values.back().offset + model.values.back().bytes;
  model.values.push_back(v);
  return static_cast<uint32_t>(model.values.size() - 1);
}

// Makes a value an input or an output.
inline void outside(Model& model, uint32_t id, const std::string& name, bool input, const std::array<uint8_t, 4>& axes = {1, 2, 3, 4}) {
  ValueInfo& v = model.values[id];
  (input ? v.is_input : v.is_output) = true;
  v.name = name;
  v.axes = axes;  // {1, 2, 3, 4}: as the engine has it
}

// An op that stores one value as another: bits as -1 and 1, quantized numbers as floats.
inline void add_copy(Model& model, uint32_t from, uint32_t to) {
  OpInfo copy;
  copy.opcode = Opcode::kMap;
  copy.name = "copy";
  copy.in = from;
  copy.steps.push_back({StepKind::kStore, to, kNone, kNone, 0, 0, 0});
  model.ops.push_back(copy);
}

inline std::vector<float> normals(size_t n, Random& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

}  // namespace bitwright::models_test
