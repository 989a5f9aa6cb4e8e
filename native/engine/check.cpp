// What the records of a model must mean together: shapes, geometry, constants. Liveness is check_plan.cpp's task.
#include "check.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "error.h"
#include "model.h"

namespace bitwright {
namespace {

class Checker : OpChecks {
 public:
  explicit Checker(Model& model) : OpChecks(model, ""), filled_(model), limits_(model.limits) {}

  void run() {
    values();
    for (size_t i = 0; i < filled_.ops.size(); ++i) {
      where_ = text("op ", i, " (", bitwright::name_of(filled_.ops[i].opcode), ")");
      op(filled_.ops[i]);
    }
  }

 private:
  void values() {
    std::set<std::string> names[2];
    for (uint32_t i = 0; i < model_.values.size(); ++i) {
      const ValueInfo& v = model_.values[i];
      const std::string where = text("value ", i);
      for (int k = 0; k < 4; ++k)
        if (v.dims[k] == 0) bad_model(where, ": dimension ", "DHWC"[k], " is 0");
      if (v.channels() > limits_.channels) bad_model(where, ": ", v.channels(), " channels; the limit is ", limits_.channels);
      if (v.groups == 0 || v.channels() % v.groups != 0) bad_model(where, ": ", v.groups, " groups do not divide ", v.channels(), " channels");
      if (v.dtype != DType::kBits && v.groups != 1) bad_model(where, ": ", v.groups, " groups; only bits are packed in groups");
      const uint64_t need = value_bytes(v, limits_.arena_bytes, where + ": bytes of one sample");
      if (v.bytes != need) bad_model(where, ": says ", v.bytes, " bytes a sample, its shape needs ", need);
      if (v.offset % 64 != 0) bad_model(where, ": arena offset ", v.offset, " is not a multiple of 64");
      if (v.offset > limits_.arena_bytes || v.bytes > limits_.arena_bytes - v.offset)
        bad_model(where, ": arena offset ", v.offset, " plus ", v.bytes, " bytes exceeds the limit of ", limits_.arena_bytes, " bytes a sample");
      filled_.arena_bytes = std::max(filled_.arena_bytes, v.offset + v.bytes);
      axes(v, where);
      if (v.quantized()) quantization(v, where);
      if (v.dtype == DType::kI32 && !v.is_input) bad_model(where, ": an i32 value that is not a model input");
      if (v.is_input && (v.dtype == DType::kBits || v.dtype == DType::kI16)) bad_model(where, ": a model input of dtype ", bitwright::name_of(v.dtype), ", f32, i32 or u8 is expected");
      if (v.is_output && v.dtype != DType::kF32) bad_model(where, ": a model output of dtype ", bitwright::name_of(v.dtype), ", f32 is expected");
      if (v.is_input || v.is_output) {
        const char* role = v.is_input ? "input" : "output";
        if (v.name.empty()) bad_model(where, ": a model ", role, " without a name");
        if (!names[v.is_output].insert(v.name).second) bad_model(where, ": two model ", role, "s have the name '", v.name, "'");
        (v.is_input ? filled_.inputs : filled_.outputs).push_back(i);
      }
    }
    if (model_.inputs.empty()) bad_model("the model has no input");
    if (model_.outputs.empty()) bad_model("the model has no output");
  }

  static void quantization(const ValueInfo& v, const std::string& where) {
    if (!(v.scale > 0 && std::isfinite(v.scale)))
      bad_model(where, ": scale ", v.scale, " of ", v.dtype == DType::kU8 ? "a u8" : "an i16", " value, a finite number > 0 is expected");
    if (v.dtype != DType::kU8) return;
    if (v.bytes > 0x7FFFFFFFu) bad_model(where, ": ", v.bytes, " bytes a sample; the limit of a u8 value is 2147483647");
    if (v.zero > 255) bad_model(where, ": zero point ", v.zero, " of a u8 value, 0 to 255 is expected");
  }

  static void axes(const ValueInfo& v, const std::string& where) {
    bool named[5] = {};
    bool ended = false;
    for (uint8_t a : v.axes) {
      if (a > 4) bad_model(where, ": external axis ", int{a}, ", known are 0 to 4");
      if (a == 0) {
        ended = true;
        continue;
      }
      if (ended) bad_model(where, ": an external axis after the end of the list");
      if (named[a]) bad_model(where, ": external axis ", int{a}, " is named twice");
      if (!v.is_input && !v.is_output) bad_model(where, ": external axes of a value that is neither input nor output");
      named[a] = true;
    }
    if (!v.is_input && !v.is_output) return;
    for (int k = 0; k < 4; ++k)
      if (!named[k + 1] && v.dims[k] != 1) bad_model(where, ": dimension ", "DHWC"[k], " is ", v.dims[k], " but no external axis names it");
  }

  void op(OpInfo& op) {
    std::array<uint32_t, 4> dims{};
    switch (op.opcode) {
      case Opcode::kBconv: {
        const ValueInfo& in = value(op.in, DType::kBits, "input");
        const uint64_t taps = convolution(op, in);
        if (op.depthwise(in)) {
          if (model_.version_minor < 1) bad_model(where_, ": a depthwise convolution of bits packed in one group in a file of version 1.0, it came with 1.1");
          if (taps > 65535) bad_model(where_, ": ", taps, " taps of a depthwise convolution; the limit is 65535");
          const uint64_t rows = checked_product({op.out_channels / in.channels(), taps}, uint64_t{1} << 62, where_ + ": weight rows");
          const uint64_t elements = checked_product({rows, in.words()}, uint64_t{1} << 62, where_ + ": weight elements");
          packed_rows(constant(op.weight, ConstType::kU32, elements, "weight"), op.weight, in.words(), in.channels());
          dims = {op.out[0], op.out[1], op.out[2], op.out_channels};
          break;
        }
        if (in.groups != op.geometry.groups)
          bad_model(where_, ": ", op.geometry.groups, " groups, but its input is packed in ", in.groups);
        checked_product({taps, in.words(), 32}, limits_.accumulator_bits, where_ + ": bits of one accumulator");
        if (in.planes != 1) levels(op, in, taps);
        const uint64_t elements = checked_product({op.out_channels, taps, in.words()}, uint64_t{1} << 62, where_ + ": weight elements");
        packed_rows(constant(op.weight, ConstType::kU32, elements, "weight"), op.weight, in.words(), in.group_channels());
        dims = {op.out[0], op.out[1], op.out[2], op.out_channels};
        break;
      }
      case Opcode::kFconv: {
        const ValueInfo& in = value(op.in, DType::kF32, "input");
        number_padding(op);
        const uint64_t taps = convolution(op, in);
        const uint64_t per_group = in.channels() / op.geometry.groups;
        const uint64_t elements = checked_product({op.out_channels, taps, per_group}, uint64_t{1} << 62, where_ + ": weight elements");
        if (op.weight < model_.constants.size() && model_.constants[op.weight].dtype == ConstType::kU32) {
          const uint64_t words = (per_group + 31) / 32;
          const uint64_t packed = checked_product({op.out_channels, taps, words}, uint64_t{1} << 62, where_ + ": weight elements");
          packed_rows(constant(op.weight, ConstType::kU32, packed, "weight"), op.weight, words, static_cast<uint32_t>(per_group));
        } else {
          constant(op.weight, ConstType::kF32, elements, "weight");
        }
        dims = {op.out[0], op.out[1], op.out[2], op.out_channels};
        break;
      }
      case Opcode::kQconv: {
        const ValueInfo& in = value(op.in, DType::kU8, "input");
        number_padding(op);
        const uint64_t taps = convolution(op, in);
        const uint64_t products = checked_product({taps, in.channels() / op.geometry.groups}, limits_.int8_products, where_ + ": products of one accumulator");
        const uint64_t elements = checked_product({op.out_channels, products}, uint64_t{1} << 62, where_ + ": weight elements");
        constant(op.weight, ConstType::kI8, elements, "weight");
        if (op.padding != kNone) padding(op, taps, in.channels() / op.geometry.groups);
        dims = {op.out[0], op.out[1], op.out[2], op.out_channels};
        break;
      }
      case Opcode::kPool: {
        const ValueInfo& in = real_value(op.in, "input");
        pooling(op, in);
        dims = {op.out[0], op.out[1], op.out[2], in.channels()};
        break;
      }
      case Opcode::kMap: {
        const ValueInfo& in = value(op.in, "input");
        if (in.dtype == DType::kI32) bad_model(where_, ": input value ", op.in, " has dtype i32, f32, bits, u8 or i16 is expected");
        one_plane(op.in, "input");
        op.out = {in.dims[0], in.dims[1], in.dims[2]};
        dims = in.dims;
        break;
      }
      case Opcode::kBmatmul: dims = matmul(op); break;
      case Opcode::kCopy:
        copy(op);
        return;
      case Opcode::kBpool:
        bit_pooling(op);
        return;
      case Opcode::kEmbed: {
        const ValueInfo& in = value(op.in, DType::kI32, "input");
        if (in.channels() != 1) bad_model(where_, ": input value ", op.in, " has ", in.channels(), " channels, 1 is expected");
        if (op.rows == 0 || op.rows > 0x7FFFFFFFu) bad_model(where_, ": ", op.rows, " rows");
        if (op.out_channels == 0 || op.out_channels > limits_.channels)
          bad_model(where_, ": ", op.out_channels, " output channels; the limit is ", limits_.channels);
        const uint64_t words = (uint64_t{op.out_channels} + 31) / 32;
        packed_rows(constant(op.weight, ConstType::kU32, op.rows * words, "weight"), op.weight, words, op.out_channels);
        if (op.scale != kNone) constant(op.scale, ConstType::kF32, op.rows, "scale");
        op.out = {in.dims[0], in.dims[1], in.dims[2]};
        dims = {op.out[0], op.out[1], op.out[2], op.out_channels};
        break;
      }
    }
    check_steps(model_, op, dims, where_);
  }

  // What a tap in the padding adds is no more than a tap inside the map can, so that every sum fits int32.
  void padding(const OpInfo& op, uint64_t taps, uint64_t channels) const {
    if (op.geometry.pad_mode != PadMode::kZero || op.geometry.transposed)
      bad_model(where_, ": a padding constant, but pad_mode ", static_cast<uint32_t>(op.geometry.pad_mode), " or transposed");
    const ConstantInfo& c = constant(op.padding, ConstType::kI32, checked_product({taps, op.out_channels}, uint64_t{1} << 62, where_ + ": padding elements"), "padding");
    const auto* data = static_cast<const int32_t*>(c.data);
    const auto limit = static_cast<int64_t>(channels * 255 * 128);
    for (uint64_t i = 0; i < c.elements; ++i)
      if (data[i] < -limit || data[i] > limit) bad_model(where_, ": padding constant ", op.padding, ": element ", i, " is ", data[i], ", at most ", limit, " in magnitude is expected");
  }

  void number_padding(const OpInfo& op) const {
    const PadMode mode = op.geometry.pad_mode;
    if (mode != PadMode::kZero && mode != PadMode::kReplicate)
      bad_model(where_, ": pad_mode ", static_cast<uint32_t>(mode), ", known for maps of numbers are 0 and 3");
  }

  // Counts of planes, weighted and summed, are int32.
  void levels(const OpInfo& op, const ValueInfo& in, uint64_t taps) const {
    if (op.low != 1) bad_model(where_, ": low ", op.low, ", 1 is expected for an input of ", in.planes, " planes");
    if (op.geometry.pad_mode == PadMode::kOne) bad_model(where_, ": pad_mode 1 for an input of ", in.planes, " planes, whose padding is level 0 or the edge");
    checked_product({taps, in.words(), 32, in.top()}, 0x7FFFFFFF, where_ + ": bits of one accumulator times the highest level");
    if (!op.steps.empty() && op.steps[0].kind == StepKind::kFixed) bad_model(where_, ": FIXED for an input of ", in.planes, " planes");
  }

  // A [M][heads][K], B [N][heads][K] or, along its tokens, B [K][heads][N]: a product of M x N a head.
  std::array<uint32_t, 4> matmul(OpInfo& op) const {
    const ValueInfo &a = value(op.in, DType::kBits, "input"), &b = value(op.rhs, DType::kBits, "right");
    one_plane(op.rhs, "right");
    if (b.groups != a.groups) bad_model(where_, ": A is packed in ", a.groups, " groups, B in ", b.groups);
    const uint64_t length = op.along_tokens ? b.pixels() : b.group_channels();
    if (length != a.group_channels()) bad_model(where_, ": a head of A has ", a.group_channels(), " channels, the sum over B runs over ", length);
    if (a.planes != 1 && op.low != 1) bad_model(where_, ": low ", op.low, ", 1 is expected for an input of ", a.planes, " planes");
    checked_product({a.words(), 32, a.top()}, std::min<uint64_t>(limits_.accumulator_bits * a.top(), 0x7FFFFFFF), where_ + ": bits of one accumulator");
    const uint64_t outputs = op.along_tokens ? b.channels() : checked_product({a.groups, b.pixels()}, limits_.channels, where_ + ": output channels");
    op.geometry.groups = a.groups;
    op.out_channels = static_cast<uint32_t>(outputs);
    op.out = {a.dims[0], a.dims[1], a.dims[2]};
    checked_product({a.pixels()}, limits_.table_entries, where_ + ": output pixels");
    return {op.out[0], op.out[1], op.out[2], op.out_channels};
  }

  uint64_t convolution(const OpInfo& op, const ValueInfo& in) const {
    const uint32_t groups = op.geometry.groups;
    if (groups == 0 || in.channels() % groups != 0 || op.out_channels % groups != 0)
      bad_model(where_, ": ", groups, " groups do not divide ", in.channels(), " input and ", op.out_channels, " output channels");
    if (op.out_channels == 0 || op.out_channels > limits_.channels)
      bad_model(where_, ": ", op.out_channels, " output channels; the limit is ", limits_.channels);
    return check_conv_geometry(op.geometry, in, op.out, limits_, where_);
  }

  void pooling(const OpInfo& op, const ValueInfo& in) const {
    if (op.geometry.groups != 1 || op.geometry.transposed || op.geometry.pad_mode != PadMode::kZero)
      bad_model(where_, ": pooling has groups 1, pad_mode 0 and no flags");
    check_pool_geometry(op.geometry, in, op.out, limits_, where_);
  }

  void bit_pooling(OpInfo& op) const {
    const ValueInfo& in = value(op.in, DType::kBits, "input");
    const ValueInfo& out = value(op.target, DType::kBits, "output");
    one_plane(op.in, "input");
    one_plane(op.target, "output");
    if (!op.steps.empty()) bad_model(where_, ": has steps");
    if (out.channels() != in.channels() || out.groups != in.groups)
      bad_model(where_, ": the output has ", out.channels(), " channels in ", out.groups, " groups, the input ", in.channels(), " in ", in.groups);
    op.out = {out.dims[0], out.dims[1], out.dims[2]};
    pooling(op, in);
    checked_product({op.out_pixels(), op.geometry.taps()}, limits_.table_entries, where_ + ": output pixels * taps");
    if (op.flip != kNone) constant(op.flip, ConstType::kU32, (uint64_t{in.channels()} + 31) / 32, "flip");
  }

  void packed_rows(const ConstantInfo& c, uint32_t id, uint64_t words, uint32_t channels) const {
    if (channels % 32 == 0) return;
    const uint32_t tail = ~((1u << (channels % 32)) - 1);
    const auto* data = static_cast<const uint32_t*>(c.data);
    for (uint64_t i = words - 1; i < c.elements; i += words)
      if (data[i] & tail) bad_model(where_, ": weight constant ", id, ": bits past channel ", channels, " are set in row ", i / words);
  }

  void copy(OpInfo& op) const {
    const ValueInfo& in = real_value(op.in, "input");
    const ValueInfo& out = value(op.target, in.dtype, "output");
    if (out.scale != in.scale || out.zero != in.zero)
      bad_model(where_, ": the output has scale ", out.scale, " and zero point ", out.zero, ", the input ", in.scale, " and ", in.zero);
    if (!op.steps.empty()) bad_model(where_, ": has steps");
    op.one_pixel = model_.version_minor >= 1 && op.count[0] == 1 && op.count[1] == 1 && op.count[2] == 1 && out.pixels() > 1 && !op.zero_rest;
    for (int k = 0; k < 4; ++k) {
      const char name = "DHWC"[k];
      if (op.step[k] == 0 || op.count[k] == 0) bad_model(where_, ": step ", op.step[k], " and count ", op.count[k], " in ", name);
      const uint64_t last = op.start[k] + uint64_t{op.count[k] - 1} * op.step[k];
      if (last >= in.dims[k]) bad_model(where_, ": the box reaches index ", last, " in ", name, ", the input has ", in.dims[k]);
      if (k < 3 && !op.one_pixel && out.dims[k] != op.count[k])
        bad_model(where_, ": the box has ", op.count[k], " elements in ", name, ", the output ", out.dims[k]);
    }
    const uint64_t room = op.one_pixel ? uint64_t{out.pixels()} * out.channels() : out.channels();
    if (uint64_t{op.dst_channel} + op.count[3] > room)
      bad_model(where_, ": channels ", op.dst_channel, " to ", uint64_t{op.dst_channel} + op.count[3] - 1, " of an output with ", room);
    if (op.one_pixel && op.dst_channel % out.channels() + uint64_t{op.count[3]} > out.channels())
      bad_model(where_, ": channels ", op.dst_channel, " to ", uint64_t{op.dst_channel} + op.count[3] - 1, " lie in two pixels of ", out.channels(), " channels");
    op.out = {op.count[0], op.count[1], op.count[2]};
  }

  Model& filled_;  // model_, to write to
  const Limits& limits_;
};

}  // namespace

const ValueInfo& OpChecks::value(uint32_t id, DType dtype, const char* role) const {
  const ValueInfo& v = value(id, role);
  if (v.dtype != dtype)
    bad_model(where_, ": ", role, " value ", id, " has dtype ", bitwright::name_of(v.dtype), ", ", bitwright::name_of(dtype), " is expected");
  return v;
}

const ValueInfo& OpChecks::real_value(uint32_t id, const char* role, bool bytes) const {
  const ValueInfo& v = value(id, role);
  if (v.dtype != DType::kF32 && v.dtype != DType::kI16 && !(bytes && v.dtype == DType::kU8))
    bad_model(where_, ": ", role, " value ", id, " has dtype ", bitwright::name_of(v.dtype), bytes ? ", f32, u8 or i16 is expected" : ", f32 or i16 is expected");
  return v;
}

const ValueInfo& OpChecks::value(uint32_t id, const char* role) const {
  if (id >= model_.values.size()) bad_model(where_, ": ", role, " value id ", id, ", the file has ", model_.values.size());
  return model_.values[id];
}

const ConstantInfo& OpChecks::constant(uint32_t id, ConstType type, uint64_t elements, const char* role) const {
  if (id >= model_.constants.size()) bad_model(where_, ": ", role, " constant id ", id, ", the file has ", model_.constants.size());
  const ConstantInfo& c = model_.constants[id];
  if (c.dtype != type) bad_model(where_, ": ", role, " constant ", id, " has dtype ", bitwright::name_of(c.dtype), ", ", bitwright::name_of(type), " is expected");
  if (c.elements != elements) bad_model(where_, ": ", role, " constant ", id, " has ", c.elements, " elements, ", elements, " are expected");
  return c;
}

void OpChecks::one_plane(uint32_t id, const char* role) const {
  const ValueInfo& v = model_.values[id];
  if (v.planes != 1) bad_model(where_, ": ", role, " value ", id, " has ", v.planes, " planes, 1 is expected");
}

void check_model(Model& model) {
  Checker(model).run();
  check_plan(model);
}

}  // namespace bitwright
