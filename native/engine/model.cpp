#include "model.h"

#include <algorithm>

#include "error.h"

namespace bitwright {

const char* name_of(Opcode opcode) {
  switch (opcode) {
    case Opcode::kBconv: return "BCONV";
    case Opcode::kFconv: return "FCONV";
    case Opcode::kPool: return "POOL";
    case Opcode::kMap: return "MAP";
    case Opcode::kCopy: return "COPY";
    case Opcode::kEmbed: return "EMBED";
    case Opcode::kBpool: return "BPOOL";
    case Opcode::kQconv: return "QCONV";
    case Opcode::kBmatmul: return "BMATMUL";
  }
  return "?";
}

const char* name_of(StepKind kind) {
  switch (kind) {
    case StepKind::kThreshold: return "THRESHOLD";
    case StepKind::kAffine: return "AFFINE";
    case StepKind::kAdd: return "ADD";
    case StepKind::kPrelu: return "PRELU";
    case StepKind::kClamp: return "CLAMP";
    case StepKind::kStore: return "STORE";
    case StepKind::kStoreBits: return "STORE_BITS";
    case StepKind::kUnary: return "UNARY";
    case StepKind::kMul: return "MUL";
    case StepKind::kStoreU8: return "STORE_U8";
    case StepKind::kStoreLevels: return "STORE_LEVELS";
    case StepKind::kFixed: return "FIXED";
    case StepKind::kAddI16: return "ADD_I16";
    case StepKind::kPreluI16: return "PRELU_I16";
    case StepKind::kBiasI16: return "BIAS_I16";
    case StepKind::kClampI16: return "CLAMP_I16";
    case StepKind::kStoreI16: return "STORE_I16";
    case StepKind::kStoreBitsI16: return "STORE_BITS_I16";
    case StepKind::kQuantizeI16: return "QUANTIZE_I16";
  }
  return "?";
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kBits: return "bits";
    case DType::kI32: return "i32";
    case DType::kU8: return "u8";
    case DType::kI16: return "i16";
  }
  return "?";
}

const char* name_of(ConstType type) {
  switch (type) {
    case ConstType::kF32: return "f32";
    case ConstType::kU32: return "u32";
    case ConstType::kI32: return "i32";
    case ConstType::kI8: return "i8";
  }
  return "?";
}

uint32_t element_bytes(ConstType type) { return type == ConstType::kI8 ? 1 : 4; }

namespace {

void add_once(std::vector<uint32_t>& list, uint32_t id) {
  if (std::find(list.begin(), list.end(), id) == list.end()) list.push_back(id);
}

}  // namespace

std::vector<uint32_t> OpInfo::reads() const {
  std::vector<uint32_t> ids{in};
  if (rhs != kNone) add_once(ids, rhs);
  for (const StepInfo& step : steps)
    if (step.reads()) add_once(ids, step.value);
  return ids;
}

std::vector<uint32_t> OpInfo::writes() const {
  std::vector<uint32_t> ids;
  if (target != kNone) ids.push_back(target);
  for (const StepInfo& step : steps)
    if (step.writes()) add_once(ids, step.value);
  return ids;
}

uint64_t checked_product(std::initializer_list<uint64_t> factors, uint64_t limit, const std::string& what) {
  uint64_t product = 1;
  bool zero = false, over = false;
  for (uint64_t f : factors) {
    if (f == 0)
      zero = true;
    else if (product > limit / f)
      over = true;
    else
      product *= f;
  }
  if (zero) return 0;
  if (over) bad_model(what, " exceeds the limit of ", limit);
  return product;
}

uint64_t value_bytes(const ValueInfo& v, uint64_t limit, const std::string& what) {
  const uint64_t pixels = checked_product({v.dims[0], v.dims[1], v.dims[2]}, limit, what);
  // Bits and bytes have a padding pixel; behind bytes kernels read on.
  const bool padded = v.dtype == DType::kBits || v.dtype == DType::kU8;
  const uint64_t rows = padded ? pixels + 1 : pixels;
  const uint64_t bytes = checked_product({rows, v.pixel_stride(), v.element_bytes()}, limit, what) + (v.dtype == DType::kU8 ? 64 : 0);
  return (bytes + 63) / 64 * 64;
}

}  // namespace bitwright
