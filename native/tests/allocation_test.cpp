// A run allocates nothing from the second one on. Every model of the fuzzer's corpus, which has every kind of op, runs with malloc counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "bitwright.h"
#include "reader.h"
#include "session.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BITWRIGHT_OWN_MALLOC 0  // the sanitizer has one
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BITWRIGHT_OWN_MALLOC 0
#endif
#endif
#if !defined(BITWRIGHT_OWN_MALLOC) && defined(__GLIBC__)
#define BITWRIGHT_OWN_MALLOC 1
#endif

#if BITWRIGHT_OWN_MALLOC

namespace {
std::atomic<long> allocations{0};
}

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

// glibc's names, so that everything in this program, operator new included, comes through here; visible, or the shared C++ library keeps glibc's.
#define BITWRIGHT_VISIBLE __attribute__((visibility("default")))
BITWRIGHT_VISIBLE void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
BITWRIGHT_VISIBLE void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  ++allocations;
  return __libc_realloc(memory, size);
}
BITWRIGHT_VISIBLE void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
}

namespace bitwright {
namespace {

std::vector<std::filesystem::path> corpus() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(BITWRIGHT_CORPUS))
    if (entry.path().extension() == ".bwm") files.push_back(entry.path());
  return files;
}

size_t elements(const ValueInfo& v) { return v.pixels() * v.channels(); }

TEST(Allocation, MallocIsCounted) {
  const long before = allocations;
  // Called as a function and kept: a compiler may leave out a new-expression that nobody looks at.
  void* volatile some = ::operator new(1000);
  const AlignedBuffer buffer(1000);
  EXPECT_EQ(allocations - before, 2);
  ::operator delete(some);
}

TEST(Allocation, NoneInARun) {
  std::set<Opcode> opcodes;
  for (const auto& path : corpus()) {
    const auto model = read_model_file(path.string());
    for (const OpInfo& op : model->ops) opcodes.insert(op.opcode);
    for (unsigned threads : {1u, 2u}) {
      SessionOptions options;
      options.threads = threads;
      Session session(model, options);
      for (uint64_t batch : {uint64_t{5}, uint64_t{1}, uint64_t{session.micro_batch()} + 1}) {
        // Elements of 4 bytes, zeros: also valid ids. Rows that are longer than needed, so that nothing is read in place.
        std::vector<std::vector<float>> memory;
        std::vector<const void*> in;
        std::vector<void*> out;
        std::vector<ExternalTensor> strided;
        for (const auto* ids : {&model->inputs, &model->outputs})
          for (uint32_t id : *ids) {
            const ValueInfo& v = model->values[id];
            memory.emplace_back(batch * (elements(v) + 3));
            (ids == &model->inputs) ? in.push_back(memory.back().data()) : out.push_back(memory.back().data());
            ExternalTensor t;
            t.type = v.dtype == DType::kI32 ? ElementType::kI32 : ElementType::kF32;
            t.data = memory.back().data();
            contiguous_strides(v, t.strides);
            t.strides[0] += 3;
            strided.push_back(t);
          }
        std::vector<uint64_t> ns;
        for (int run = 0; run < 3; ++run) {
          const long before = allocations;
          session.run_contiguous(batch, in.data(), out.data());
          session.run(batch, strided.data(), strided.data() + in.size(), &ns);
          if (run == 0) continue;
          EXPECT_EQ(allocations - before, 0) << path.filename() << ", " << threads << " threads, batch " << batch;
        }
      }
    }
  }
  for (uint32_t code = 1; name_of(static_cast<Opcode>(code))[0] != '?'; ++code)
    EXPECT_TRUE(opcodes.count(static_cast<Opcode>(code))) << "the corpus has no model with " << name_of(static_cast<Opcode>(code));
}

TEST(Allocation, NoneInTheCApi) {
  bitwright_model* model = nullptr;
  const std::string path = (std::filesystem::path(BITWRIGHT_CORPUS) / "dense.bwm").string();
  ASSERT_EQ(bitwright_model_open(path.c_str(), &model), BITWRIGHT_OK);
  bitwright_session* session = nullptr;
  ASSERT_EQ(bitwright_session_create(model, 2, nullptr, &session), BITWRIGHT_OK);
  std::vector<float> x(70), y(3);
  const void* in[] = {x.data()};
  void* out[] = {y.data()};
  ASSERT_EQ(bitwright_session_run(session, 1, in, out), BITWRIGHT_OK);
  const long before = allocations;
  for (int i = 0; i < 10; ++i) bitwright_session_run(session, 1, in, out);
  EXPECT_EQ(allocations - before, 0);
  bitwright_session_close(session);
  bitwright_model_close(model);
}

}  // namespace
}  // namespace bitwright

#endif
