// The parts of check_model (model.h).
#pragma once

#include <string>
#include <utility>

#include "model.h"

namespace bitwright {

// Both throw Error(kModel) with a message that begins with `where`. The first returns the number of taps.
uint64_t check_conv_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                             const std::string& where);
void check_pool_geometry(const Geometry& g, const ValueInfo& in, const std::array<uint32_t, 3>& out, const Limits& limits,
                         const std::string& where);

// What the checks of an op and of its steps share: ids, types and sizes, and the place that a message names.
class OpChecks {
 protected:
  OpChecks(const Model& model, std::string where) : model_(model), where_(std::move(where)) {}

  const ValueInfo& value(uint32_t id, const char* role) const;
  const ValueInfo& value(uint32_t id, DType dtype, const char* role) const;
  // What stands for real numbers: f32 or i16; `bytes`: u8 too.
  const ValueInfo& real_value(uint32_t id, const char* role, bool bytes = true) const;
  void one_plane(uint32_t id, const char* role) const;
  const ConstantInfo& constant(uint32_t id, ConstType type, uint64_t elements, const char* role) const;

  const Model& model_;
  std::string where_;
};

// The steps of `op`, whose result has `dims`.
void check_steps(const Model& model, const OpInfo& op, const std::array<uint32_t, 4>& dims, const std::string& where);

// Every value is written once before it is read; values that live at the same time do not overlap.
void check_plan(const Model& model);

}  // namespace bitwright
