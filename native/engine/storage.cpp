#include "storage.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "error.h"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define BITWRIGHT_HAS_MMAP 1
#endif

namespace bitwright {
namespace {

// Large buffers come from the system with all their pages, which takes a fraction of the time that as many page faults take. AddressSanitizer watches
// only what malloc gives.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BITWRIGHT_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BITWRIGHT_SANITIZED 1
#endif
#if defined(__linux__) && !defined(BITWRIGHT_SANITIZED)
#define BITWRIGHT_HAS_POPULATE 1
constexpr int kPopulate = MAP_POPULATE;
constexpr size_t kLeastPopulated = 128 << 10, kMostPopulated = 64 << 20;
bool populated(size_t bytes) { return bytes >= kLeastPopulated && bytes <= kMostPopulated; }
#else
[[maybe_unused]] constexpr int kPopulate = 0;
#endif

[[noreturn]] void file_error(const std::string& path, int error) {
  throw Error(Status::kFile, text("cannot read '", path, "': ", std::strerror(error)), error);
}

// Bytes of a range that lie in the file: a file that is too short gives fewer, and the reader says what is missing.
size_t bytes_inside(uint64_t whole, uint64_t offset, uint64_t bytes) {
  return static_cast<size_t>(offset >= whole ? 0 : bytes < whole - offset ? bytes : whole - offset);
}

class OwnedBytes : public ByteStorage {
 public:
  explicit OwnedBytes(size_t size) : buffer_(size) {
    data_ = buffer_.as<const uint8_t>();
    size_ = size;
  }
  uint8_t* writable() { return buffer_.as<uint8_t>(); }

 private:
  AlignedBuffer buffer_;
};

#ifdef BITWRIGHT_HAS_MMAP
class MappedBytes : public ByteStorage {
 public:
  MappedBytes(const std::string& path, uint64_t offset, uint64_t bytes) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) file_error(path, errno);
    struct stat info {};
    if (::fstat(fd, &info) != 0) {
      const int error = errno;
      ::close(fd);
      file_error(path, error);
    }
    if (!S_ISREG(info.st_mode)) {
      ::close(fd);
      file_error(path, S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
    }
    const uint64_t whole = static_cast<uint64_t>(info.st_size);
    size_ = bytes_inside(whole, offset, bytes);
    if (size_ > 0) {
      const size_t before = offset % static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
      mapped_ = size_ + before;
      memory_ = ::mmap(nullptr, mapped_, PROT_READ, MAP_PRIVATE | kPopulate, fd, static_cast<off_t>(offset - before));  // the checksum reads all of it
      const int error = errno;
      ::close(fd);
      if (memory_ == MAP_FAILED) file_error(path, error);
      data_ = static_cast<const uint8_t*>(memory_) + before;
    } else {
      ::close(fd);
    }
  }
  ~MappedBytes() override {
    if (data_) ::munmap(memory_, mapped_);
  }

 private:
  void* memory_ = nullptr;
  size_t mapped_ = 0;
};
#endif

}  // namespace

#ifdef BITWRIGHT_HAS_MMAP
std::shared_ptr<ByteStorage> map_file(const std::string& path, uint64_t offset, uint64_t bytes) {
  return std::make_shared<MappedBytes>(path, offset, bytes);
}
#else
std::shared_ptr<ByteStorage> map_file(const std::string& path, uint64_t offset, uint64_t bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) file_error(path, errno);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> closer(file, &std::fclose);
  if (std::fseek(file, 0, SEEK_END) != 0) file_error(path, errno);
  const long size = std::ftell(file);
  if (size < 0) file_error(path, errno);
  auto owned = std::make_shared<OwnedBytes>(bytes_inside(static_cast<uint64_t>(size), offset, bytes));
  if (std::fseek(file, owned->size() ? static_cast<long>(offset) : 0, SEEK_SET) != 0) file_error(path, errno);
  if (std::fread(owned->writable(), 1, owned->size(), file) != owned->size()) file_error(path, EIO);
  return owned;
}
#endif

std::shared_ptr<ByteStorage> copy_bytes(const void* data, size_t size) {
  auto bytes = std::make_shared<OwnedBytes>(size);
  if (size) std::memcpy(bytes->writable(), data, size);
  return bytes;
}

AlignedBuffer::AlignedBuffer(size_t bytes, bool zero) : size_(bytes) {
  if (bytes > SIZE_MAX - 64) throw std::bad_alloc();
  const size_t rounded = (bytes + 63) / 64 * 64;
  if (rounded == 0) return;
#ifdef BITWRIGHT_HAS_POPULATE
  if (populated(bytes)) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | kPopulate, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = memory;  // zeros
    return;
  }
#endif
#if defined(_WIN32)
  data_ = _aligned_malloc(rounded, 64);
#else
  data_ = std::aligned_alloc(64, rounded);
#endif
  if (!data_) throw std::bad_alloc();
  if (zero) std::memset(data_, 0, rounded);
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

AlignedBuffer::~AlignedBuffer() {
#ifdef BITWRIGHT_HAS_POPULATE
  if (data_ && populated(size_)) {
    ::munmap(data_, size_);
    return;
  }
#endif
#if defined(_WIN32)
  _aligned_free(data_);
#else
  std::free(data_);
#endif
}

}  // namespace bitwright
