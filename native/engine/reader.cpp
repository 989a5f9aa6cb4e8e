// Records of a file: values, constants, operations. What they mean together is check.cpp's task.
#include "reader.h"

#include <algorithm>

#include "container.h"
#include "error.h"
#include "storage.h"

namespace bitwright {
namespace {

// A cursor over one record; the caller has checked that the record is inside the file.
class Fields {
 public:
  Fields(const uint8_t* p, size_t size, std::string where) : p_(p), end_(p + size), where_(std::move(where)) {}
  uint32_t u32() { return load<uint32_t>(take(4)); }
  uint64_t u64() { return load<uint64_t>(take(8)); }
  float f32() { return load<float>(take(4)); }
  template <size_t N>
  void u32s(uint32_t (&out)[N]) {
    for (auto& x : out) x = u32();
  }
  template <size_t N>
  void u32s(std::array<uint32_t, N>& out) {
    for (auto& x : out) x = u32();
  }
  void zeros(size_t n) {
    if (!all_zero(take(n), n)) bad_model(where_, ": a reserved field is not zero");
  }
  size_t left() const { return static_cast<size_t>(end_ - p_); }
  const std::string& where() const { return where_; }

 private:
  const uint8_t* take(size_t n) {
    if (left() < n) bad_model(where_, ": the record ends inside a field");
    const uint8_t* at = p_;
    p_ += n;
    return at;
  }
  const uint8_t* p_;
  const uint8_t* end_;
  std::string where_;
};

class Reader {
 public:
  Reader(const uint8_t* data, size_t size, const Limits& limits) : file_(data, size, limits) {
    model_.limits = limits;
    model_.file_bytes = size;
    model_.version_minor = file_.minor();
    model_.meta = file_.meta();
  }

  Model read() {
    constants();
    values();
    ops();
    check_model(model_);
    return std::move(model_);
  }

 private:
  // Files that use nothing new are still written as 1.0; what came later must say so.
  void since(uint32_t minor, const std::string& where, const char* what) const {
    if (model_.version_minor < minor)
      bad_model(where, ": ", what, " in a file of version ", kFormatMajor, ".", model_.version_minor, ", it came with ", kFormatMajor, ".", minor);
  }

  void constants() {
    const Section& s = file_[SectionKind::kConstants];
    const Section& data = file_[SectionKind::kData];
    model_.constants.reserve(s.count);
    for (uint32_t i = 0; i < s.count; ++i) {
      Fields f(s.data + size_t{i} * 32, 32, text("constant ", i));
      ConstantInfo c;
      const uint32_t dtype = f.u32();
      if (dtype < 1 || dtype > 4) bad_model(f.where(), ": dtype ", dtype, ", known are 1 (f32), 2 (u32), 3 (i32), 4 (i8)");
      c.dtype = static_cast<ConstType>(dtype);
      if (c.dtype == ConstType::kI8) since(1, f.where(), "dtype i8");
      f.zeros(4);
      c.elements = f.u64();
      const uint64_t offset = f.u64();
      f.zeros(8);
      if (c.elements == 0) bad_model(f.where(), ": has no elements");
      if (offset % 64 != 0) bad_model(f.where(), ": offset ", offset, " is not a multiple of 64");
      if (offset > data.size || c.elements > (data.size - offset) / element_bytes(c.dtype))
        bad_model(f.where(), ": ", c.elements, " elements at offset ", offset, " leave the data section of ", data.size, " bytes");
      c.data = data.data + offset;
      model_.constants.push_back(c);
    }
  }

  void values() {
    const Section& s = file_[SectionKind::kValues];
    model_.values.reserve(s.count);
    for (uint32_t i = 0; i < s.count; ++i) {
      const uint8_t* record = s.data + size_t{i} * 64;
      Fields f(record, 64, text("value ", i));
      ValueInfo v;
      const uint32_t dtype = f.u32();
      if (dtype < 1 || dtype > 5) bad_model(f.where(), ": dtype ", dtype, ", known are 1 (f32), 2 (bits), 3 (i32), 4 (u8), 5 (i16)");
      v.dtype = static_cast<DType>(dtype);
      if (v.dtype == DType::kU8 || v.dtype == DType::kI16) since(1, f.where(), text("dtype ", name_of(v.dtype)).c_str());
      f.u32s(v.dims);
      v.groups = f.u32();
      const uint32_t flags = f.u32();
      if (flags > 2) bad_model(f.where(), ": flags ", flags, ", known are 0, 1 (input), 2 (output)");
      v.is_input = flags == 1;
      v.is_output = flags == 2;
      v.name = file_.name_at(f.u32(), f.where());
      v.offset = f.u64();
      v.bytes = f.u64();
      const uint32_t axes = f.u32();
      for (int k = 0; k < 4; ++k) v.axes[k] = static_cast<uint8_t>(axes >> (8 * k));
      const uint32_t planes = f.u32();
      if (planes != 0) {
        since(1, f.where(), "planes");
        if (v.dtype != DType::kBits || planes < 2 || planes > 8) bad_model(f.where(), ": ", planes, " planes; bits have 0 (meaning 1) or 2 to 8, others 0");
        v.planes = planes;
      }
      if (v.quantized())
        v.scale = f.f32();
      else
        f.zeros(4);
      if (v.dtype == DType::kU8)
        v.zero = f.u32();
      else
        f.zeros(4);
      model_.values.push_back(std::move(v));
    }
  }

  static void geometry(Fields& f, Geometry& g) {
    f.u32s(g.kernel);
    f.u32s(g.stride);
    f.u32s(g.dilation);
    f.u32s(g.pad_begin);
    f.u32s(g.pad_end);
    g.groups = f.u32();
    const uint32_t mode = f.u32(), flags = f.u32();
    if (mode > 3) bad_model(f.where(), ": pad_mode ", mode, ", known are 0 to 3");
    if (flags > 1) bad_model(f.where(), ": geometry flags ", flags, ", known are 0 and 1 (transposed)");
    g.pad_mode = static_cast<PadMode>(mode);
    g.transposed = flags == 1;
    f.zeros(4);
  }

  void ops() {
    const Section& s = file_[SectionKind::kOps];
    model_.ops.reserve(std::min<size_t>(s.count, s.size / 24 + 1));
    size_t at = 0;
    for (uint32_t i = 0; i < s.count; ++i) {
      if (s.size - at < 16) bad_model("op ", i, ": ", s.size - at, " bytes are left in section OPS, an op's header has 16");
      const uint32_t code = load<uint32_t>(s.data + at), bytes = load<uint32_t>(s.data + at + 4);
      if (code < 1 || code > 9) bad_model("op ", i, ": opcode ", code, ", known are 1 to 9");
      const std::string where = text("op ", i, " (", name_of(static_cast<Opcode>(code)), ")");
      if (code > 7) since(1, where, "this opcode");
      if (bytes < 16 || bytes % 8 != 0) bad_model(where, ": size ", bytes, " is not a multiple of 8 of at least 16");
      if (bytes > s.size - at) bad_model(where, ": size ", bytes, ", ", s.size - at, " bytes are left in section OPS");
      op(Fields(s.data + at + 8, bytes - 8, where), static_cast<Opcode>(code));
      at += bytes;
    }
    if (at != s.size) bad_model("section OPS: its ", s.count, " ops have ", at, " bytes, the section has ", s.size);
  }

  void op(Fields f, Opcode opcode) {
    OpInfo op;
    op.opcode = opcode;
    const uint32_t steps = f.u32();
    op.name = file_.name_at(f.u32(), f.where());
    op.in = f.u32();
    switch (opcode) {
      case Opcode::kBconv:
      case Opcode::kFconv:
      case Opcode::kQconv:
        op.weight = f.u32();
        op.out_channels = f.u32();
        if (opcode == Opcode::kBconv) {
          op.low = f.u32();
          if (op.low > 1) bad_model(f.where(), ": low ", op.low, ", known are 0 and 1");
        } else if (opcode == Opcode::kQconv) {
          const uint32_t padding = f.u32();  // 0: none, else 1 + the id
          op.padding = padding == 0 ? kNone : padding - 1;
        } else {
          f.zeros(4);
        }
        f.u32s(op.out);
        f.zeros(4);
        geometry(f, op.geometry);
        f.zeros(4);
        break;
      case Opcode::kPool: {
        const uint32_t kind = f.u32();
        if (kind < 1 || kind > 3) bad_model(f.where(), ": pooling kind ", kind, ", known are 1 to 3");
        op.pool = static_cast<PoolKind>(kind);
        f.u32s(op.out);
        f.zeros(4);
        geometry(f, op.geometry);
        f.zeros(4);
        break;
      }
      case Opcode::kMap:
        f.zeros(4);
        break;
      case Opcode::kCopy: {
        op.target = f.u32();
        f.u32s(op.start);
        f.u32s(op.step);
        f.u32s(op.count);
        op.dst_channel = f.u32();
        const uint32_t rest = f.u32();
        if (rest > 1) bad_model(f.where(), ": zero_rest ", rest, ", known are 0 and 1");
        op.zero_rest = rest == 1;
        break;
      }
      case Opcode::kEmbed:
        op.weight = f.u32();
        op.rows = f.u32();
        op.out_channels = f.u32();
        op.scale = f.u32();
        f.zeros(4);
        break;
      case Opcode::kBmatmul: {
        op.rhs = f.u32();
        op.low = f.u32();
        if (op.low > 1) bad_model(f.where(), ": low ", op.low, ", known are 0 and 1");
        const uint32_t along = f.u32();
        if (along > 1) bad_model(f.where(), ": along_tokens ", along, ", known are 0 and 1");
        op.along_tokens = along == 1;
        break;
      }
      case Opcode::kBpool:
        op.target = f.u32();
        op.flip = f.u32();
        f.zeros(4);
        geometry(f, op.geometry);
        f.zeros(4);
        break;
    }
    if (f.left() % 32 != 0 || f.left() / 32 != steps)
      bad_model(f.where(), ": ", steps, " steps need ", uint64_t{steps} * 32, " bytes, the op has ", f.left(), " left for them");
    op.steps.reserve(steps);
    for (uint32_t k = 0; k < steps; ++k) {
      StepInfo step;
      const uint32_t kind = f.u32();
      const bool fixed = kind >= 12 && kind <= 19;
      if (kind < 1 || (kind > 11 && !fixed)) bad_model(f.where(), ", step ", k, ": kind ", kind, ", known are 1 to 19");
      if (kind > 9) since(1, text(f.where(), ", step ", k), name_of(static_cast<StepKind>(kind)));
      step.kind = static_cast<StepKind>(kind);
      step.value = f.u32();
      step.a = f.u32();
      step.b = f.u32();
      step.p0 = f.f32();
      step.p1 = f.f32();
      step.n = f.u32();
      f.zeros(4);
      op.steps.push_back(step);
    }
    model_.ops.push_back(std::move(op));
  }

  Container file_;
  Model model_;
};

std::shared_ptr<const Model> read(std::shared_ptr<ByteStorage> bytes, const Limits& limits) {
  auto model = std::make_shared<Model>(Reader(bytes->data(), bytes->size(), limits).read());
  model->storage = std::move(bytes);
  return model;
}

}  // namespace

std::shared_ptr<const Model> read_model_file(const std::string& path, const Limits& limits) {
  return read_model_part(path, 0, UINT64_MAX, limits);
}

std::shared_ptr<const Model> read_model_part(const std::string& path, uint64_t offset, uint64_t bytes, const Limits& limits) {
  if (offset % 64 != 0) throw Error(Status::kModel, text(path, ": a part begins at byte ", offset, ", which is not a multiple of 64"));
  auto mapped = map_file(path, offset, bytes);
  try {
    return read(std::move(mapped), limits);
  } catch (const Error& error) {
    throw Error(error.status, text(path, ": ", error.what()));
  }
}

std::shared_ptr<const Model> read_model_bytes(const void* data, size_t size, const Limits& limits) {
  return read(copy_bytes(data, size), limits);
}

}  // namespace bitwright
