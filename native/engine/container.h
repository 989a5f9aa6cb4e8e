// The file as a container: header, checksums, section table, JSON and names. What the sections hold is reader.cpp's task.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "model.h"

namespace bitwright {

constexpr uint16_t kFormatMajor = 1;
constexpr uint16_t kFormatMinor = 1;
constexpr uint32_t kSections = 5;

template <class T>
T load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

inline bool all_zero(const uint8_t* p, size_t n) {
  return std::all_of(p, p + n, [](uint8_t b) { return b == 0; });
}

struct Section {
  uint32_t count = 0;
  const uint8_t* data = nullptr;
  size_t size = 0;
};

enum class SectionKind : uint32_t { kValues, kOps, kConstants, kData, kMeta };

// The bytes must outlive it. The constructor throws Error(kModel).
class Container {
 public:
  Container(const uint8_t* data, size_t size, const Limits& limits);

  const Section& operator[](SectionKind kind) const { return sections_[static_cast<uint32_t>(kind)]; }
  uint16_t minor() const { return minor_; }
  const std::string& meta() const { return meta_; }
  std::string name_at(uint32_t offset, const std::string& where) const;

 private:
  void header();
  void sections();
  void meta_and_names();
  void exact_size(SectionKind section, uint64_t record) const;
  [[noreturn]] void not_bwm() const;

  const uint8_t* data_;
  size_t size_;
  const Limits& limits_;
  uint16_t minor_ = 0;
  std::string meta_;
  Section sections_[kSections];
  const char* strings_ = nullptr;
  size_t strings_size_ = 0;
};

}  // namespace bitwright
