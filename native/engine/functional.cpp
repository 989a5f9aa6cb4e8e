#include "functional.h"

#include <vector>

#include "error.h"

namespace bitwright {
namespace {

struct Arrays : Storage {
  std::vector<uint32_t> weight;
  std::vector<float> threshold, offset;
};

uint32_t add_value(Model& model, DType dtype, const std::array<uint32_t, 4>& dims, uint32_t groups, uint32_t planes = 1) {
  ValueInfo v;
  v.dtype = dtype;
  v.dims = dims;
  v.groups = groups;
  v.planes = planes;
  for (uint32_t d : dims)
    if (d == 0) bad_model("a dimension of the map is 0");
  if (groups == 0 || dims[3] % groups != 0) bad_model(groups, " groups do not divide ", dims[3], " channels");
  if (dtype != DType::kBits) v.axes = {1, 2, 3, 4};
  v.bytes = value_bytes(v, model.limits.arena_bytes, "bytes of one sample");
  v.offset = model.values.empty() ? 0 : model.values.back().offset + model.values.back().bytes;
  model.values.push_back(v);
  return static_cast<uint32_t>(model.values.size() - 1);
}

// Depthwise weights [O][taps][1] as [O/C][taps][words], one bit a weight. Anything impossible is left for check_model to name.
bool make_depthwise(const BinaryConvProblem& problem, std::vector<uint32_t>& weight) {
  const uint32_t channels = problem.in[3], outputs = problem.out_channels, words = (channels + 31) / 32;
  const uint64_t taps = problem.geometry.taps();
  if (channels < 2 || problem.geometry.groups != channels || outputs % channels != 0 || taps > 65535 || weight.size() != outputs * taps) return false;
  const uint32_t multiplier = outputs / channels;
  std::vector<uint32_t> packed(multiplier * taps * words);
  for (uint32_t o = 0; o < outputs; ++o)
    for (uint64_t t = 0; t < taps; ++t) {
      const uint32_t word = weight[o * taps + t], c = o / multiplier;
      if (word > 1) return false;
      packed[(o % multiplier * taps + t) * words + c / 32] |= word << (c % 32);
    }
  weight = std::move(packed);
  return true;
}

}  // namespace

std::shared_ptr<const Model> binary_conv_model(const BinaryConvProblem& problem) {
  auto model = std::make_shared<Model>();
  auto arrays = std::make_shared<Arrays>();
  arrays->weight.assign(problem.weight, problem.weight + problem.weight_elements);
  arrays->threshold.assign(problem.threshold, problem.threshold + problem.threshold_elements);
  model->constants.push_back({ConstType::kU32, arrays->weight.size(), arrays->weight.data()});
  model->constants.push_back({ConstType::kF32, arrays->threshold.size(), arrays->threshold.data()});
  const uint32_t x = add_value(*model, DType::kF32, problem.in, 1);
  if (problem.bits > 8) bad_model(problem.bits, " bits; at most 8 are possible");
  const uint32_t planes = problem.bits ? problem.bits : 1;
  const bool depthwise = planes == 1 && make_depthwise(problem, arrays->weight);
  if (depthwise) {
    model->version_minor = 1;
    model->constants[0] = {ConstType::kU32, arrays->weight.size(), arrays->weight.data()};
  }
  const uint32_t bits = add_value(*model, DType::kBits, problem.in, depthwise ? 1 : problem.geometry.groups, planes);
  const uint32_t y = add_value(*model, DType::kF32, {problem.out[0], problem.out[1], problem.out[2], problem.out_channels}, 1);
  model->values[x].is_input = true;
  model->values[x].name = "x";
  model->values[y].is_output = true;
  model->values[y].name = "y";

  OpInfo pack;
  pack.opcode = Opcode::kMap;
  pack.name = "pack";
  pack.in = x;
  pack.steps.push_back({StepKind::kStoreBits, bits, kNone, kNone, 0, 0, 0});
  if (problem.threshold_elements == 1)
    pack.steps[0].p0 = problem.threshold[0];
  else
    pack.steps[0].a = 1;
  if (problem.bits) {
    arrays->offset.assign(problem.offset, problem.offset + problem.offset_elements);
    model->constants.push_back({ConstType::kF32, arrays->offset.size(), arrays->offset.data()});
    pack.steps[0].kind = StepKind::kStoreLevels;
    pack.steps[0].n = problem.bits;
    if (problem.offset_elements == 1)
      pack.steps[0].p1 = problem.offset[0];
    else
      pack.steps[0].b = 2;
  }
  model->ops.push_back(pack);

  OpInfo conv;
  conv.opcode = Opcode::kBconv;
  conv.name = "conv";
  conv.in = bits;
  conv.weight = 0;
  conv.out_channels = problem.out_channels;
  conv.low = problem.low;
  conv.out = problem.out;
  conv.geometry = problem.geometry;
  conv.steps.push_back({StepKind::kStore, y, kNone, kNone, 0, 0, 0});
  model->ops.push_back(conv);
  check_model(*model);
  model->storage = std::move(arrays);
  return model;
}

}  // namespace bitwright
