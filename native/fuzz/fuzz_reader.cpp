// A deterministic mutation fuzzer for the reader and what stands behind it: mutates .bwm files, mostly field by field with corrected checksums,
// loads each mutant and, if it loads, runs it. Built with AddressSanitizer and UBSan it must find nothing:
//
//   bitwright_fuzz FOLDER [--mutants N] [--seed S]
//
// Every mutant must either load and run, or be refused with an error of the right kind; a failure names the mutant's number, which with the seed
// reproduces it (--only NUMBER).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "crc32.h"
#include "describe.h"
#include "error.h"
#include "reader.h"
#include "session.h"

namespace {

using Bytes = std::vector<uint8_t>;

struct Random {  // splitmix64
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return n ? next() % n : 0; }
};

template <class T>
T get(const Bytes& b, size_t at) {
  T value{};
  if (at + sizeof value <= b.size()) std::memcpy(&value, b.data() + at, sizeof value);
  return value;
}

template <class T>
void put(Bytes& b, size_t at, T value) {
  if (at + sizeof value <= b.size()) std::memcpy(b.data() + at, &value, sizeof value);
}

void seal(Bytes& b) {
  if (b.size() < 64) return;
  put<uint64_t>(b, 16, b.size());
  put<uint32_t>(b, 24, bitwright::crc32(b.data() + 64, b.size() - 64));
  put<uint32_t>(b, 28, bitwright::crc32(b.data(), 28));
}

uint32_t interesting(Random& r, uint32_t old) {
  switch (r.below(12)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return old + 1;
    case 3: return old - 1;
    case 4: return old * 2;
    case 5: return 0xFFFFFFFFu;
    case 6: return 0x80000000u;
    case 7: return 1u << r.below(32);
    case 8: return static_cast<uint32_t>(r.next());
    case 9: return old ^ (1u << r.below(32));
    case 10: return old / 2;
    default: return static_cast<uint32_t>(r.below(12));
  }
}

// A 4-byte aligned place in a section (0 to 4), the section table (5) or anywhere.
size_t place(Random& r, const Bytes& b) {
  const size_t kind = r.below(12);
  if (kind == 5) return 64 + r.below(40) * 4;
  // Ops twice as often, then values: there the meaning is.
  const size_t section = kind < 5 ? kind : kind < 8 ? 1 : kind < 10 ? 0 : 2;
  if (kind == 11) return r.below(b.size() / 4) * 4;
  const uint64_t offset = get<uint64_t>(b, 64 + 32 * section + 8), size = get<uint64_t>(b, 64 + 32 * section + 16);
  if (offset >= b.size() || size > b.size() - offset) return r.below(b.size() / 4) * 4;
  return offset + r.below(size / 4) * 4;
}

Bytes mutate(Random& r, const std::vector<Bytes>& corpus) {
  Bytes b = corpus[r.below(corpus.size())];
  const size_t changes = 1 + r.below(r.below(4) == 0 ? 6 : 2);
  bool keep_checksums = r.below(40) == 0;
  for (size_t i = 0; i < changes && b.size() >= 224; ++i) {
    switch (r.below(16)) {
      case 0: b[r.below(b.size())] ^= static_cast<uint8_t>(1u << r.below(8)); break;
      case 1: b.resize(r.below(b.size())); break;
      case 2: {  // a word from elsewhere
        const size_t to = place(r, b), from = place(r, b);
        put(b, to, get<uint32_t>(b, from));
        break;
      }
      case 3: {  // a field of 8 bytes
        const size_t at = place(r, b) / 8 * 8;
        put<uint64_t>(b, at, get<uint64_t>(b, at) + (uint64_t{interesting(r, 64)} << (r.below(2) * 32)));
        break;
      }
      case 4: {  // repeat or drop a piece
        const size_t at = place(r, b), size = std::min<size_t>(4 * (1 + r.below(32)), b.size() - at);
        const Bytes piece(b.begin() + static_cast<ptrdiff_t>(at), b.begin() + static_cast<ptrdiff_t>(at + size));
        if (r.below(2))
          b.insert(b.begin() + static_cast<ptrdiff_t>(at), piece.begin(), piece.end());
        else
          b.erase(b.begin() + static_cast<ptrdiff_t>(at), b.begin() + static_cast<ptrdiff_t>(at + size));
        break;
      }
      case 5: {  // swap two words
        const size_t x = place(r, b), y = place(r, b);
        const auto word = get<uint32_t>(b, x);
        put(b, x, get<uint32_t>(b, y));
        put(b, y, word);
        break;
      }
      default: {
        const size_t at = place(r, b);
        put(b, at, interesting(r, get<uint32_t>(b, at)));
      }
    }
  }
  if (!keep_checksums) seal(b);
  return b;
}

bitwright::Limits small_limits() {
  bitwright::Limits limits;
  limits.arena_bytes = 1 << 20;
  limits.prepared_bytes = 8 << 20;
  limits.table_entries = 1 << 16;
  limits.channels = 4096;
  limits.taps = 2048;
  return limits;
}

enum class Outcome { kRefused, kLoaded, kRan };

Outcome try_model(const Bytes& bytes, const std::string& kernel, unsigned threads, Random& r) {
  std::shared_ptr<const bitwright::Model> model;
  std::unique_ptr<bitwright::Session> session;
  try {
    model = bitwright::read_model_bytes(bytes.data(), bytes.size(), small_limits());
    bitwright::SessionOptions options;
    options.kernel = kernel;
    options.threads = threads;
    session = std::make_unique<bitwright::Session>(model, options);
  } catch (const bitwright::Error& error) {
    if (error.status != bitwright::Status::kModel) throw;
    if (std::strlen(error.what()) < 5) throw std::runtime_error("an error without a message");
    return Outcome::kRefused;
  }
  uint64_t work = 0;
  for (size_t i = 0; i < model->ops.size(); ++i) {
    const bitwright::OpFacts f = bitwright::facts_of(session->prepared(), i);
    const bitwright::OpInfo& op = model->ops[i];
    work += f.binary_macs + f.float_macs + f.int8_macs + op.out_pixels() * uint64_t{op.geometry.taps()} * model->values[op.in].channels();
  }
  if (work > 20'000'000) return Outcome::kLoaded;
  // Exactly as large as they must be, so that the sanitizer sees every step outside.
  const size_t samples = 1 + r.below(3);
  std::vector<std::vector<uint32_t>> arrays;
  std::vector<bitwright::ExternalTensor> in, out;
  for (const auto* ids : {&model->inputs, &model->outputs})
    for (uint32_t id : *ids) {
      const bitwright::ValueInfo& v = model->values[id];
      arrays.emplace_back((samples * v.pixels() * v.channels() * v.element_bytes() + 3) / 4);
      for (uint32_t& word : arrays.back())
        word = v.dtype == bitwright::DType::kI32 ? static_cast<uint32_t>(r.below(6)) : 0x3F000000u + static_cast<uint32_t>(r.next() & 0x80FFFFFFu);
      bitwright::ExternalTensor t;
      t.type = v.dtype == bitwright::DType::kI32  ? bitwright::ElementType::kI32
               : v.dtype == bitwright::DType::kU8 ? bitwright::ElementType::kU8
                                                  : bitwright::ElementType::kF32;
      t.data = arrays.back().data();
      bitwright::contiguous_strides(v, t.strides);
      (ids == &model->inputs ? in : out).push_back(t);
    }
  try {
    session->run(samples, in.data(), out.data());
  } catch (const bitwright::Error& error) {
    if (error.status != bitwright::Status::kInput) throw;
  }
  return Outcome::kRan;
}

std::vector<Bytes> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".bwm") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  size_t mutants = 4000, seed = 1, only = SIZE_MAX;
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [--mutants N] [--seed S] [--only NUMBER]\n", argv[0]);
    return 2;
  }
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    (option == "--mutants" ? mutants : option == "--seed" ? seed : only) = std::strtoull(argv[i + 1], nullptr, 10);
  }
  const std::vector<Bytes> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "no .bwm file in %s\n", argv[1]);
    return 2;
  }
  std::vector<std::string> isas;
  for (const char* const* isa = bitwright::isa_names(); *isa; ++isa)
    if (bitwright::isa_supported(*isa)) isas.push_back(*isa);
  size_t counts[3] = {};
  size_t number = 0;
  const auto start = std::chrono::steady_clock::now();
  double slowest = 0;
  try {
    for (number = 0; number < corpus.size(); ++number) {
      Random r{seed};
      for (const std::string& isa : isas)
        if (try_model(corpus[number], isa, 2, r) != Outcome::kRan) throw std::runtime_error("a file of the corpus does not run");
    }
    for (number = 0; number < mutants; ++number) {
      if (only != SIZE_MAX && number != only) continue;
      Random r{seed * 0x100000001B3u + number};
      const auto begin = std::chrono::steady_clock::now();
      const Bytes mutant = mutate(r, corpus);
      ++counts[static_cast<int>(try_model(mutant, isas[number % isas.size()], number % 16 == 0 ? 2 : 1, r))];
      slowest = std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mutant %zu of seed %zu: %s\n", number, seed, error.what());
    return 1;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%zu mutants of %zu files: %zu refused, %zu loaded, %zu ran; %.1f s, the slowest %.2f s\n", counts[0] + counts[1] + counts[2],
              corpus.size(), counts[0], counts[1], counts[2], seconds, slowest);
  // A fuzzer whose mutants never get past the reader, or always do, tests nothing.
  if (only == SIZE_MAX && mutants >= 1000 && (counts[0] < mutants / 10 || counts[2] < mutants / 20)) {
    std::fprintf(stderr, "too few mutants of one kind: the mutations no longer reach the code\n");
    return 1;
  }
  return 0;
}
