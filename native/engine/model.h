// A model as the reader hands it out: plain structures, every field checked. docs/bwm.md gives the meaning of each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel_steps.h"

namespace bitwright {

constexpr uint32_t kNone = 0xFFFFFFFFu;

enum class DType : uint32_t { kF32 = 1, kBits = 2, kI32 = 3, kU8 = 4, kI16 = 5 };
enum class ConstType : uint32_t { kF32 = 1, kU32 = 2, kI32 = 3, kI8 = 4 };
enum class Opcode : uint32_t { kBconv = 1, kFconv = 2, kPool = 3, kMap = 4, kCopy = 5, kEmbed = 6, kBpool = 7, kQconv = 8, kBmatmul = 9 };
enum class PadMode : uint32_t { kZero = 0, kOne = 1, kMinusOne = 2, kReplicate = 3 };
enum class PoolKind : uint32_t { kMax = 1, kAverage = 2, kAveragePadded = 3 };

const char* name_of(Opcode opcode);
const char* name_of(StepKind kind);
const char* name_of(DType dtype);
const char* name_of(ConstType type);

uint32_t element_bytes(ConstType type);

// What a file may ask for; more is refused. The fuzzer lowers them so that a mutant costs little.
struct Limits {
  uint64_t arena_bytes = uint64_t{4} << 30;     // of one sample
  uint64_t prepared_bytes = uint64_t{4} << 30;  // packed weights, tables, thresholds
  uint64_t table_entries = uint64_t{1} << 26;   // output pixels * taps of one indirection table
  uint64_t records = uint64_t{1} << 20;         // values, ops, constants
  uint64_t channels = uint64_t{1} << 20;        // of a value
  uint64_t taps = 65536;
  uint64_t int8_products = 65535;  // of one QCONV accumulator; so that 255 * 128 of each fit an int32
  uint64_t accumulator_bits = uint64_t{1} << 29;  // taps * words * 32; so that twice of it fits an int32
};

struct Geometry {
  uint32_t kernel[3] = {1, 1, 1};
  uint32_t stride[3] = {1, 1, 1};
  uint32_t dilation[3] = {1, 1, 1};
  uint32_t pad_begin[3] = {0, 0, 0};
  uint32_t pad_end[3] = {0, 0, 0};
  uint32_t groups = 1;
  PadMode pad_mode = PadMode::kZero;
  bool transposed = false;

  uint32_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  uint64_t extent(int dim) const { return uint64_t{dilation[dim]} * (kernel[dim] - 1) + 1; }
};

struct ValueInfo {
  DType dtype = DType::kF32;
  std::array<uint32_t, 4> dims{1, 1, 1, 1};  // D, H, W, C
  uint32_t groups = 1;
  uint32_t planes = 1;  // bits only: plane i holds bit i of a level 0 .. 2^planes - 1
  bool is_input = false;
  bool is_output = false;
  std::string name;
  uint64_t offset = 0;  // in the arena of one sample
  uint64_t bytes = 0;   // of one sample
  std::array<uint8_t, 4> axes{0, 0, 0, 0};
  float scale = 0;      // u8 and i16: an element q stands for (q - zero) * scale
  uint32_t zero = 0;    // u8

  size_t pixels() const { return size_t{dims[0]} * dims[1] * dims[2]; }
  uint32_t channels() const { return dims[3]; }
  uint32_t group_channels() const { return dims[3] / groups; }
  uint32_t words() const { return (group_channels() + 31) / 32; }  // of one group of one pixel
  bool quantized() const { return dtype == DType::kU8 || dtype == DType::kI16; }
  // Elements of one pixel: floats, ints, bytes or words; of element_bytes() each.
  size_t element_bytes() const { return dtype == DType::kU8 ? 1 : dtype == DType::kI16 ? 2 : 4; }
  size_t pixel_stride() const { return dtype == DType::kBits ? size_t{planes} * groups * words() : dims[3]; }
  uint32_t top() const { return (1u << planes) - 1; }  // the highest level
};

struct ConstantInfo {
  ConstType dtype = ConstType::kF32;
  uint64_t elements = 0;
  const void* data = nullptr;

  uint64_t bytes() const { return elements * element_bytes(dtype); }
};

struct StepInfo {
  StepKind kind = StepKind::kStore;
  uint32_t value = kNone;
  uint32_t a = kNone;
  uint32_t b = kNone;
  float p0 = 0;
  float p1 = 0;
  uint32_t n = 0;

  bool writes_bits() const { return kind == StepKind::kThreshold || kind == StepKind::kStoreBits || kind == StepKind::kStoreBitsI16 || kind == StepKind::kStoreLevels; }
  bool writes() const { return writes_bits() || kind == StepKind::kStore || kind == StepKind::kStoreU8 || kind == StepKind::kStoreI16; }
  bool reads() const { return kind == StepKind::kAdd || kind == StepKind::kMul || kind == StepKind::kAddI16; }
};

struct OpInfo {
  Opcode opcode = Opcode::kMap;
  std::string name;
  uint32_t in = 0;
  uint32_t weight = kNone;        // BCONV, FCONV, QCONV, EMBED
  uint32_t out_channels = 0;      // BCONV, FCONV, QCONV, EMBED
  uint32_t low = 0;               // BCONV, BMATMUL: 1 for {0,1} activations
  uint32_t padding = kNone;       // QCONV: what each tap in the padding adds
  uint32_t rhs = kNone;           // BMATMUL: the value B
  bool along_tokens = false;      // BMATMUL: the sum runs over B's pixels
  PoolKind pool = PoolKind::kMax;
  uint32_t rows = 0;              // EMBED
  uint32_t scale = kNone;         // EMBED
  std::array<uint32_t, 3> out{1, 1, 1};
  Geometry geometry;
  uint32_t flip = kNone;          // BPOOL
  uint32_t target = kNone;        // COPY and BPOOL, which have no steps: the value that they write
  // COPY
  std::array<uint32_t, 4> start{}, step{}, count{};
  uint32_t dst_channel = 0;
  bool zero_rest = false;
  bool one_pixel = false;  // of a COPY: its box is one pixel of an output of several; dst_channel counts from the first pixel's first channel
  std::vector<StepInfo> steps;

  // A BCONV whose channels are groups of their own while its input is packed as one.
  bool depthwise(const ValueInfo& input) const { return opcode == Opcode::kBconv && geometry.groups > 1 && input.groups == 1 && input.planes == 1 && geometry.groups == input.channels(); }
  size_t out_pixels() const { return size_t{out[0]} * out[1] * out[2]; }
  std::vector<uint32_t> reads() const;   // value ids, each once
  std::vector<uint32_t> writes() const;
};

// The bytes that constants point into; kept alive by the model.
class Storage {
 public:
  virtual ~Storage() = default;
};

struct Model {
  std::vector<ValueInfo> values;
  std::vector<ConstantInfo> constants;
  std::vector<OpInfo> ops;
  std::vector<uint32_t> inputs;
  std::vector<uint32_t> outputs;
  std::string meta = "{}";
  uint64_t arena_bytes = 0;  // of one sample
  uint64_t file_bytes = 0;
  uint32_t version_minor = 0;
  Limits limits;
  std::shared_ptr<const Storage> storage;
};

// Checks everything that is not the file's structure: shapes, geometry, ids, constants' sizes, liveness, overlap. Fills op.out
// of MAP, COPY and EMBED, op.out_channels, model.inputs, outputs and arena_bytes. Throws Error(kModel).
void check_model(Model& model);

// Multiplication that refuses an overflow or a product above `limit`.
uint64_t checked_product(std::initializer_list<uint64_t> factors, uint64_t limit, const std::string& what);

// Bytes of one sample of a value, rounded up to 64.
uint64_t value_bytes(const ValueInfo& value, uint64_t limit, const std::string& what);

}  // namespace bitwright
