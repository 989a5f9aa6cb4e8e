// The file's structure: header, sections, records. What the records mean together is check.cpp's task.
#include "reader.h"

#include <algorithm>
#include <cstring>

#include "crc32.h"
#include "error.h"
#include "storage.h"

static_assert(sizeof(float) == 4 && sizeof(void*) >= 8, "the engine needs 32-bit IEEE floats and 64-bit pointers");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the .bwm format is read in place and little-endian; this target is big-endian"
#endif

namespace bitwright {
namespace {

constexpr uint8_t kMagic[8] = {0x89, 'B', 'W', 'M', 0x0D, 0x0A, 0x1A, 0x0A};
constexpr uint16_t kMajor = 1;
constexpr uint16_t kMinor = 1;
constexpr uint32_t kSections = 5;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kFirstSection = kHeaderBytes + kSections * 32;
constexpr size_t kMaxName = 4096;
constexpr const char* kSectionNames[kSections] = {"VALUES", "OPS", "CONSTANTS", "DATA", "META"};
enum { kValues, kOps, kConstants, kData, kMeta };

template <class T>
T load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

bool all_zero(const uint8_t* p, size_t n) {
  return std::all_of(p, p + n, [](uint8_t b) { return b == 0; });
}

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

struct Section {
  uint32_t count = 0;
  const uint8_t* data = nullptr;
  size_t size = 0;
};

bool valid_utf8(const uint8_t* p, size_t n) {
  for (size_t i = 0; i < n;) {
    const uint8_t c = p[i];
    if (c < 0x80) {
      ++i;
      continue;
    }
    const size_t more = (c >> 5) == 6 ? 1 : (c >> 4) == 14 ? 2 : (c >> 3) == 30 ? 3 : 0;
    if (more == 0 || n - i <= more) return false;
    uint32_t code = c & (0x3F >> more);
    for (size_t k = 1; k <= more; ++k) {
      if ((p[i + k] >> 6) != 2) return false;
      code = code << 6 | (p[i + k] & 0x3F);
    }
    const uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    i += more + 1;
  }
  return true;
}

class Reader {
 public:
  Reader(const uint8_t* data, size_t size, const Limits& limits) : data_(data), size_(size) {
    model_.limits = limits;
    model_.file_bytes = size;
  }

  Model read() {
    header();
    sections();
    meta();
    constants();
    values();
    ops();
    check_model(model_);
    return std::move(model_);
  }

 private:
  void header() {
    if (size_ < kHeaderBytes) {
      if (size_ < 8 || std::memcmp(data_, kMagic, 8) != 0) not_bwm();
      bad_model("truncated: a header has ", kHeaderBytes, " bytes, the file has ", size_);
    }
    if (std::memcmp(data_, kMagic, 8) != 0) not_bwm();
    const uint16_t major = load<uint16_t>(data_ + 8), minor = load<uint16_t>(data_ + 10);
    if (major > kMajor || (major == kMajor && minor > kMinor))
      bad_model("written by a newer bitwright (version ", major, ".", minor, "; this engine reads ", kMajor, ".", kMinor, ")");
    if (major < kMajor) bad_model("version ", major, ".", minor, " of the format is not supported; this engine reads ", kMajor, ".", kMinor);
    model_.version_minor = minor;
    const uint32_t crc = crc32(data_, 28);
    if (load<uint32_t>(data_ + 28) != crc) bad_model("damaged: the header's checksum is wrong");
    const uint64_t said = load<uint64_t>(data_ + 16);
    if (said > size_) bad_model("truncated: header says ", said, " bytes, the file has ", size_);
    if (said < size_) bad_model("damaged: header says ", said, " bytes, the file has ", size_);
    if (load<uint32_t>(data_ + 12) != kSections)
      bad_model("header says ", load<uint32_t>(data_ + 12), " sections, version 1 has ", kSections);
    if (!all_zero(data_ + 32, 32)) bad_model("header: a reserved field is not zero");
    if (load<uint32_t>(data_ + 24) != crc32(data_ + kHeaderBytes, size_ - kHeaderBytes))
      bad_model("damaged: the checksum of the contents is wrong");
  }

  // Files that use nothing new are still written as 1.0; what came later must say so.
  void since(uint32_t minor, const std::string& where, const char* what) const {
    if (model_.version_minor < minor)
      bad_model(where, ": ", what, " in a file of version ", kMajor, ".", model_.version_minor, ", it came with ", kMajor, ".", minor);
  }

  [[noreturn]] void not_bwm() const {
    if (size_ == 0) bad_model("not a .bwm file: it is empty");
    if (size_ >= 4 && std::memcmp(data_, kMagic, 4) == 0)
      bad_model("damaged: the magic number is broken after \"\\x89BWM\", as by a transfer in text mode");
    bad_model("not a .bwm file: it does not begin with \"\\x89BWM\\r\\n\\x1a\\n\"");
  }

  void sections() {
    if (size_ < kFirstSection) bad_model("truncated: header and section table have ", kFirstSection, " bytes, the file has ", size_);
    uint64_t end = kFirstSection;
    for (uint32_t i = 0; i < kSections; ++i) {
      const uint8_t* entry = data_ + kHeaderBytes + size_t{i} * 32;
      const char* name = kSectionNames[i];
      const uint32_t kind = load<uint32_t>(entry);
      if (kind != i + 1) bad_model("section ", i, " has kind ", kind, ", ", i + 1, " (", name, ") is expected there");
      Section& s = sections_[i];
      s.count = load<uint32_t>(entry + 4);
      const uint64_t offset = load<uint64_t>(entry + 8), bytes = load<uint64_t>(entry + 16);
      if (load<uint64_t>(entry + 24) != 0) bad_model("section ", name, ": a reserved field is not zero");
      if (offset % 64 != 0) bad_model("section ", name, ": offset ", offset, " is not a multiple of 64");
      if (offset < end) bad_model("section ", name, ": offset ", offset, " lies before ", end, ", where the part before it ends");
      if (offset > size_ || bytes > size_ - offset)
        bad_model("section ", name, ": offset ", offset, " and size ", bytes, " leave the file of ", size_, " bytes");
      if (!all_zero(data_ + end, offset - end)) bad_model("the bytes before section ", name, " are not zero");
      s.data = data_ + offset;
      s.size = bytes;
      end = offset + bytes;
      if (i <= kConstants && s.count > model_.limits.records)
        bad_model("section ", name, ": ", s.count, " records; the limit is ", model_.limits.records);
      if (i > kConstants && s.count != 0) bad_model("section ", name, ": count ", s.count, ", 0 is expected");
    }
    if (!all_zero(data_ + end, size_ - end)) bad_model("the bytes after section META are not zero");
    exact_size(kValues, 64);
    exact_size(kConstants, 32);
  }

  void exact_size(int section, uint64_t record) const {
    const Section& s = sections_[section];
    if (s.size != s.count * record)
      bad_model("section ", kSectionNames[section], ": ", s.count, " records need ", s.count * record, " bytes, the section has ", s.size);
  }

  void meta() {
    const Section& s = sections_[kMeta];
    if (s.size < 4) bad_model("section META: ", s.size, " bytes, at least 4 are needed");
    const uint64_t length = load<uint32_t>(s.data);
    if (length > s.size - 4) bad_model("section META: the JSON has ", length, " bytes, the section ", s.size);
    if (!valid_utf8(s.data + 4, length)) bad_model("section META: the JSON is not UTF-8");
    if (length < 2 || s.data[4] != '{' || s.data[4 + length - 1] != '}') bad_model("section META: the JSON is not an object");
    model_.meta.assign(reinterpret_cast<const char*>(s.data) + 4, length);
    const uint64_t at = (4 + length + 7) / 8 * 8;
    if (at > s.size || s.size - at < 5) bad_model("section META: no room for the string block after the JSON");
    if (!all_zero(s.data + 4 + length, at - 4 - length)) bad_model("section META: the bytes after the JSON are not zero");
    const uint64_t bytes = load<uint32_t>(s.data + at);
    if (bytes == 0 || bytes > s.size - at - 4)
      bad_model("section META: the string block has ", bytes, " bytes, ", s.size - at - 4, " are left in the section");
    strings_ = reinterpret_cast<const char*>(s.data) + at + 4;
    strings_size_ = bytes;
    if (!all_zero(s.data + at + 4 + bytes, s.size - at - 4 - bytes)) bad_model("section META: the bytes after the strings are not zero");
    if (strings_[0] != 0) bad_model("section META: the string block does not begin with the empty string");
    if (strings_[bytes - 1] != 0) bad_model("section META: the string block does not end with a zero byte");
  }

  std::string string_at(uint32_t offset, const std::string& where) const {
    if (offset >= strings_size_) bad_model(where, ": name offset ", offset, ", the string block has ", strings_size_, " bytes");
    const char* s = strings_ + offset;
    const size_t length = std::strlen(s);  // the block ends with a zero byte
    if (length > kMaxName) bad_model(where, ": a name of ", length, " bytes; the limit is ", kMaxName);
    if (!valid_utf8(reinterpret_cast<const uint8_t*>(s), length)) bad_model(where, ": the name is not UTF-8");
    return std::string(s, length);
  }

  void constants() {
    const Section& s = sections_[kConstants];
    const Section& data = sections_[kData];
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
    const Section& s = sections_[kValues];
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
      v.name = string_at(f.u32(), f.where());
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
    const Section& s = sections_[kOps];
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
    op.name = string_at(f.u32(), f.where());
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

  const uint8_t* data_;
  size_t size_;
  Model model_;
  Section sections_[kSections];
  const char* strings_ = nullptr;
  size_t strings_size_ = 0;
};

std::shared_ptr<const Model> read(std::shared_ptr<ByteStorage> bytes, const Limits& limits) {
  auto model = std::make_shared<Model>(Reader(bytes->data(), bytes->size(), limits).read());
  model->storage = std::move(bytes);
  return model;
}

}  // namespace

std::shared_ptr<const Model> read_model_file(const std::string& path, const Limits& limits) {
  auto bytes = map_file(path);
  try {
    return read(std::move(bytes), limits);
  } catch (const Error& error) {
    throw Error(error.status, text(path, ": ", error.what()));
  }
}

std::shared_ptr<const Model> read_model_bytes(const void* data, size_t size, const Limits& limits) {
  return read(copy_bytes(data, size), limits);
}

}  // namespace bitwright
