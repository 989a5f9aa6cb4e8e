#include "container.h"

#include <algorithm>
#include <cstring>

#include "crc32.h"
#include "error.h"

static_assert(sizeof(float) == 4 && sizeof(void*) >= 8, "the engine needs 32-bit IEEE floats and 64-bit pointers");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the .bwm format is read in place and little-endian; this target is big-endian"
#endif

namespace bitwright {
namespace {

constexpr uint8_t kMagic[8] = {0x89, 'B', 'W', 'M', 0x0D, 0x0A, 0x1A, 0x0A};
constexpr uint8_t kPartedMagic[8] = {0x89, 'B', 'W', 'P', 0x0D, 0x0A, 0x1A, 0x0A};
constexpr size_t kHeaderBytes = 64;
constexpr size_t kFirstSection = kHeaderBytes + kSections * 32;
constexpr size_t kMaxName = 4096;
constexpr const char* kSectionNames[kSections] = {"VALUES", "OPS", "CONSTANTS", "DATA", "META"};

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

}  // namespace

Container::Container(const uint8_t* data, size_t size, const Limits& limits) : data_(data), size_(size), limits_(limits) {
  header();
  sections();
  meta_and_names();
}

void Container::header() {
  if (size_ < kHeaderBytes) {
    if (size_ < 8 || std::memcmp(data_, kMagic, 8) != 0) not_bwm();
    bad_model("truncated: a header has ", kHeaderBytes, " bytes, the file has ", size_);
  }
  if (std::memcmp(data_, kMagic, 8) != 0) not_bwm();
  const uint16_t major = load<uint16_t>(data_ + 8), minor = load<uint16_t>(data_ + 10);
  if (major > kFormatMajor || (major == kFormatMajor && minor > kFormatMinor))
    bad_model("written by a newer bitwright (version ", major, ".", minor, "; this engine reads ", kFormatMajor, ".", kFormatMinor, ")");
  if (major < kFormatMajor) bad_model("version ", major, ".", minor, " of the format is not supported; this engine reads ", kFormatMajor, ".", kFormatMinor);
  minor_ = minor;
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

void Container::not_bwm() const {
  if (size_ == 0) bad_model("not a .bwm file: it is empty");
  if (size_ >= 8 && std::memcmp(data_, kPartedMagic, 8) == 0)
    bad_model("the model has parts for onnxruntime: open it with Python's bitwright.runtime.Session, or compile it with --native-only");
  if (size_ >= 4 && std::memcmp(data_, kMagic, 4) == 0)
    bad_model("damaged: the magic number is broken after \"\\x89BWM\", as by a transfer in text mode");
  bad_model("not a .bwm file: it does not begin with \"\\x89BWM\\r\\n\\x1a\\n\"");
}

void Container::sections() {
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
    if (i <= static_cast<uint32_t>(SectionKind::kConstants) && s.count > limits_.records)
      bad_model("section ", name, ": ", s.count, " records; the limit is ", limits_.records);
    if (i > static_cast<uint32_t>(SectionKind::kConstants) && s.count != 0) bad_model("section ", name, ": count ", s.count, ", 0 is expected");
  }
  if (!all_zero(data_ + end, size_ - end)) bad_model("the bytes after section META are not zero");
  exact_size(SectionKind::kValues, 64);
  exact_size(SectionKind::kConstants, 32);
}

void Container::exact_size(SectionKind section, uint64_t record) const {
  const Section& s = (*this)[section];
  if (s.size != s.count * record)
    bad_model("section ", kSectionNames[static_cast<uint32_t>(section)], ": ", s.count, " records need ", s.count * record, " bytes, the section has ", s.size);
}

void Container::meta_and_names() {
  const Section& s = (*this)[SectionKind::kMeta];
  if (s.size < 4) bad_model("section META: ", s.size, " bytes, at least 4 are needed");
  const uint64_t length = load<uint32_t>(s.data);
  if (length > s.size - 4) bad_model("section META: the JSON has ", length, " bytes, the section ", s.size);
  if (!valid_utf8(s.data + 4, length)) bad_model("section META: the JSON is not UTF-8");
  if (length < 2 || s.data[4] != '{' || s.data[4 + length - 1] != '}') bad_model("section META: the JSON is not an object");
  meta_.assign(reinterpret_cast<const char*>(s.data) + 4, length);
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

std::string Container::name_at(uint32_t offset, const std::string& where) const {
  if (offset >= strings_size_) bad_model(where, ": name offset ", offset, ", the string block has ", strings_size_, " bytes");
  const char* s = strings_ + offset;
  const size_t length = std::strlen(s);  // the block ends with a zero byte
  if (length > kMaxName) bad_model(where, ": a name of ", length, " bytes; the limit is ", kMaxName);
  if (!valid_utf8(reinterpret_cast<const uint8_t*>(s), length)) bad_model(where, ": the name is not UTF-8");
  return std::string(s, length);
}

}  // namespace bitwright
