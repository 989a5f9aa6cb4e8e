// What the steps of an op must mean together.
#include <cmath>
#include <set>

#include "check.h"
#include "error.h"
#include "model.h"

namespace bitwright {
namespace {

class StepChecker : OpChecks {
 public:
  StepChecker(const Model& model, const OpInfo& op, const std::array<uint32_t, 4>& dims, const std::string& where)
      : OpChecks(model, where), op_(op), dims_(dims) {}

  void run() {
    const std::string op_where = where_;
    if (op_.writes().empty()) bad_model(where_, ": writes no value");
    std::set<uint32_t> written;
    bool fixed = false;
    for (size_t k = 0; k < op_.steps.size(); ++k) {
      const StepInfo& s = op_.steps[k];
      where_ = text(op_where, ", step ", k, " (", bitwright::name_of(s.kind), ")");
      order(s.kind, k, fixed);
      step(s);
      if (s.writes() && !written.insert(s.value).second) bad_model(where_, ": value ", s.value, " is written twice");
    }
  }

 private:
  // FIXED begins a chain of a BCONV, QUANTIZE_I16 ends the float part of any; after them there are only i16 steps. A POOL of kind max and a MAP of
  // an i16 value may begin with i16 steps.
  void order(StepKind kind, size_t k, bool& fixed) const {
    if (!is_fixed(kind)) {
      if (fixed) bad_model(where_, ": a float step after an i16 step");
      return;
    }
    if (kind == StepKind::kFixed) {
      if (op_.opcode != Opcode::kBconv || k != 0) bad_model(where_, ": is the first step of a BCONV only");
    } else if (kind == StepKind::kQuantizeI16) {
      if (fixed) bad_model(where_, ": follows an i16 step");
    } else if (!fixed) {
      const bool whole = op_.opcode == Opcode::kMap || (op_.opcode == Opcode::kPool && op_.pool == PoolKind::kMax);
      if (k != 0 || !whole || model_.values[op_.in].dtype != DType::kI16)
        bad_model(where_, ": an i16 step needs FIXED or QUANTIZE_I16 before it, or is the first of a MAP or max POOL of an i16 value");
    }
    fixed = true;
  }

  // An i32 constant whose elements fit 16 bits.
  void shorts(uint32_t id, uint64_t elements, int32_t low, const char* role) const {
    const ConstantInfo& c = constant(id, ConstType::kI32, elements, role);
    const auto* data = static_cast<const int32_t*>(c.data);
    for (uint64_t i = 0; i < c.elements; ++i)
      if (data[i] < low || data[i] > 32767) bad_model(where_, ": ", role, " constant ", id, ": element ", i, " is ", data[i], ", ", low, " to 32767 is expected");
  }

  // |acc| << n and every count must fit 16 bits.
  void fixed_room(uint32_t before) const {
    const ValueInfo& in = model_.values[op_.in];
    const uint64_t taps = op_.geometry.taps();
    if ((taps * in.group_channels() << before) > 32767 || taps * in.words() * 32 > 65535)
      bad_model(where_, ": ", taps * in.group_channels(), " products shifted left by ", before, " do not fit 16 bits");
  }

  void unused(uint32_t id, const char* field) const {
    if (id != kNone) bad_model(where_, ": field ", field, " is not used but not none");
  }

  void target(const StepInfo& s, DType dtype, bool gate = false) const {
    const ValueInfo& v = value(s.value, dtype, "step");
    if (s.kind != StepKind::kStoreLevels) one_plane(s.value, "step");
    for (int k = 0; k < 4; ++k) {
      const uint32_t expected = gate && k < 3 ? 1 : dims_[k];
      if (v.dims[k] != expected) bad_model(where_, ": value ", s.value, " has ", v.dims[k], " in ", "DHWC"[k], ", ", expected, " is expected");
    }
  }

  void step(const StepInfo& s) const {
    const uint64_t channels = dims_[3];
    const auto floats = [&](uint32_t id, const char* role) {
      if (id != kNone) constant(id, ConstType::kF32, channels, role);
    };
    const auto flip = [&] {
      if (s.b != kNone) constant(s.b, ConstType::kU32, (channels + 31) / 32, "flip");
    };
    switch (s.kind) {
      case StepKind::kThreshold:
        if (op_.opcode != Opcode::kBconv || op_.steps.size() != 1) bad_model(where_, ": stands alone and only in a BCONV");
        constant(s.a, ConstType::kI32, channels, "threshold");
        flip();
        target(s, DType::kBits);
        break;
      case StepKind::kAffine:
        floats(s.a, "factor");
        floats(s.b, "offset");
        unused(s.value, "value");
        break;
      case StepKind::kAdd:
        unused(s.a, "a");
        unused(s.b, "b");
        target(s, real_value(s.value, "step", false).dtype);
        break;
      case StepKind::kStoreLevels:
        floats(s.a, "factor");
        floats(s.b, "offset");
        target(s, DType::kBits);
        if (s.n != model_.values[s.value].planes) bad_model(where_, ": n ", s.n, ", value ", s.value, " has ", model_.values[s.value].planes, " planes");
        break;
      case StepKind::kFixed:
        shorts(s.a, channels, -32767, "factor");
        shorts(s.b, channels, -32768, "offset");
        unused(s.value, "value");
        if ((s.n & 0xFF) > 15 || s.n >> 8 > 15) bad_model(where_, ": n ", s.n, ", two shifts of 0 to 15 are expected");
        fixed_room(s.n & 0xFF);
        break;
      case StepKind::kQuantizeI16:
        unused(s.a, "a");
        unused(s.b, "b");
        unused(s.value, "value");
        if (!(s.p0 > 0 && std::isfinite(s.p0))) bad_model(where_, ": factor ", s.p0, ", a finite number > 0 is expected");
        break;
      case StepKind::kAddI16:
      case StepKind::kStoreI16:
        unused(s.a, "a");
        unused(s.b, "b");
        target(s, DType::kI16);
        break;
      case StepKind::kPreluI16:
        shorts(s.a, channels, -32767, "slope");
        unused(s.b, "b");
        unused(s.value, "value");
        if (s.n > 15) bad_model(where_, ": n ", s.n, ", a shift of 0 to 15 is expected");
        break;
      case StepKind::kBiasI16:
        unused(s.a, "a");
        shorts(s.b, channels, -32768, "offset");
        unused(s.value, "value");
        break;
      case StepKind::kClampI16:
        unused(s.a, "a");
        unused(s.b, "b");
        unused(s.value, "value");
        for (float p : {s.p0, s.p1})
          if (!(p >= -32768 && p <= 32767 && p == std::nearbyint(p))) bad_model(where_, ": bound ", p, ", an integer of 16 bits is expected");
        if (s.p0 > s.p1) bad_model(where_, ": lower bound ", s.p0, " is not <= upper bound ", s.p1);
        break;
      case StepKind::kStoreBitsI16:
        shorts(s.a, channels, -32768, "threshold");
        flip();
        target(s, DType::kBits);
        break;
      case StepKind::kMul:
        unused(s.a, "a");
        unused(s.b, "b");
        if (s.n > 1) bad_model(where_, ": n ", s.n, ", known are 0 and 1");
        target(s, DType::kF32, s.n == 1);
        break;
      case StepKind::kPrelu:
        floats(s.a, "slope");
        unused(s.b, "b");
        unused(s.value, "value");
        break;
      case StepKind::kClamp:
        unused(s.a, "a");
        unused(s.b, "b");
        unused(s.value, "value");
        if (!(s.p0 <= s.p1)) bad_model(where_, ": lower bound ", s.p0, " is not <= upper bound ", s.p1);
        break;
      case StepKind::kUnary:
        unused(s.a, "a");
        unused(s.b, "b");
        unused(s.value, "value");
        if (s.n < 1 || s.n > 9) bad_model(where_, ": function ", s.n, ", known are 1 to 9");
        break;
      case StepKind::kStore:
        unused(s.a, "a");
        unused(s.b, "b");
        target(s, DType::kF32);
        break;
      case StepKind::kStoreU8:
        unused(s.a, "a");
        unused(s.b, "b");
        target(s, DType::kU8);
        break;
      case StepKind::kStoreBits:
        floats(s.a, "threshold");
        flip();
        target(s, DType::kBits);
        break;
    }
  }

  const OpInfo& op_;
  const std::array<uint32_t, 4>& dims_;
};

}  // namespace

void check_steps(const Model& model, const OpInfo& op, const std::array<uint32_t, 4>& dims, const std::string& where) {
  StepChecker(model, op, dims, where).run();
}

}  // namespace bitwright
