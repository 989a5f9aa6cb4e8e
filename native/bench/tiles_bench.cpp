// Binary layers of networks as the engine runs them, with each candidate in turn: the median of the rounds' ratios to the first, which is what runs
// without tuning. Candidates: register tiles (tiles.h), pixels of a work item, or threads (of two). Ends: a threshold, a chain of floats, one of i16
// steps. Caches as the layer leaves them.
//
//   bitwright_tiles_bench avx2|avx512vpopcnt|pixels|pixels2|threads [layer] [end]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "prepare.h"
#include "tiles.h"

using namespace bitwright;

namespace {

struct Layer {
  const char* network;
  uint32_t height, width, channels, outputs, kernel, stride;
  std::string name() const {
    return std::string(network) + "/" + std::to_string(kernel) + "x" + std::to_string(kernel) + "_" + std::to_string(height) + "x" + std::to_string(width) + "_" +
           std::to_string(channels) + "_" + std::to_string(outputs) + (stride > 1 ? "_s2" : "");
  }
};

const Layer layers[] = {
    {"resnet18", 56, 56, 64, 64, 3, 1},     {"resnet18", 56, 56, 64, 128, 3, 2},   {"resnet18", 28, 28, 128, 128, 3, 1},  {"resnet18", 28, 28, 128, 256, 3, 2},
    {"resnet18", 14, 14, 256, 256, 3, 1},   {"resnet18", 14, 14, 256, 512, 3, 2},  {"resnet18", 7, 7, 512, 512, 3, 1},    {"bnext_t", 112, 112, 32, 32, 3, 1},
    {"bnext_t", 112, 112, 32, 64, 1, 1},    {"bnext_t", 112, 112, 64, 64, 3, 2},   {"bnext_t", 56, 56, 64, 128, 1, 1},    {"bnext_t", 56, 56, 128, 128, 1, 1},
    {"bnext_t", 28, 28, 256, 256, 1, 1},    {"bnext_t", 28, 28, 256, 256, 3, 2},   {"bnext_t", 14, 14, 256, 512, 1, 1},   {"bnext_t", 14, 14, 512, 512, 3, 1},
    {"bnext_t", 14, 14, 512, 512, 1, 1},    {"bnext_t", 7, 7, 1024, 1024, 3, 1},   {"bnext_t", 7, 7, 1024, 1024, 1, 1},   {"vgg_small", 32, 32, 128, 128, 3, 1},
    {"vgg_small", 16, 16, 128, 256, 3, 1},  {"vgg_small", 16, 16, 256, 256, 3, 1}, {"vgg_small", 8, 8, 256, 512, 3, 1},   {"vgg_small", 8, 8, 512, 512, 3, 1},
    {"grouped", 56, 56, 64, 32, 3, 1},      {"grouped", 28, 28, 128, 32, 3, 1},    {"grouped", 28, 28, 64, 96, 3, 1},     {"grouped", 28, 28, 64, 16, 3, 1},
    {"grouped", 56, 56, 16, 16, 3, 1},      {"grouped", 28, 28, 256, 16, 1, 1},    {"grouped", 14, 14, 256, 32, 3, 1},    {"grouped", 7, 7, 512, 32, 3, 1},
    {"bert_base", 1, 128, 768, 768, 1, 1},  {"bert_base", 1, 128, 768, 3072, 1, 1}, {"bert_base", 1, 128, 3072, 768, 1, 1}, {"vgg_small", 1, 1, 8192, 1024, 1, 1},
};

enum class LayerEnd { kThreshold, kFloats, kShorts };
constexpr const char* kEnds[] = {"threshold", "floats", "shorts"};

struct Constants : Storage {
  std::vector<std::vector<uint32_t>> words;
};

struct Builder {
  std::shared_ptr<Model> m = std::make_shared<Model>();
  std::shared_ptr<Constants> c = std::make_shared<Constants>();
  uint32_t value(DType dtype, uint32_t height, uint32_t width, uint32_t channels) {
    ValueInfo v;
    v.dtype = dtype;
    v.dims = {1, height, width, channels};
    v.bytes = value_bytes(v, m->limits.arena_bytes, "value");
    v.offset = m->arena_bytes;
    m->arena_bytes += v.bytes;
    m->values.push_back(v);
    return static_cast<uint32_t>(m->values.size() - 1);
  }
  uint32_t constant(ConstType type, std::vector<uint32_t> words) {
    c->words.push_back(std::move(words));
    m->constants.push_back({type, c->words.back().size(), c->words.back().data()});
    return static_cast<uint32_t>(m->constants.size() - 1);
  }
  uint32_t floats(uint32_t n, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return constant(ConstType::kF32, std::vector<uint32_t>(n, bits));
  }
  uint32_t ints(uint32_t n, int32_t x) { return constant(ConstType::kI32, std::vector<uint32_t>(n, static_cast<uint32_t>(x))); }
};

std::shared_ptr<const Model> model_of(const Layer& l, LayerEnd end) {
  std::mt19937 random(1);
  Builder b;
  OpInfo op;
  op.opcode = Opcode::kBconv;
  op.in = b.value(DType::kBits, l.height, l.width, l.channels);
  const uint32_t pad = l.kernel / 2, height = (l.height + 2 * pad - l.kernel) / l.stride + 1, width = (l.width + 2 * pad - l.kernel) / l.stride + 1;
  std::vector<uint32_t> weights(size_t{l.outputs} * l.kernel * l.kernel * b.m->values[op.in].words());
  for (uint32_t& word : weights) word = random();
  op.weight = b.constant(ConstType::kU32, std::move(weights));
  op.out_channels = l.outputs;
  op.out = {1, height, width};
  for (int k = 1; k < 3; ++k) {
    op.geometry.kernel[k] = l.kernel;
    op.geometry.stride[k] = l.stride;
    op.geometry.pad_begin[k] = op.geometry.pad_end[k] = pad;
  }
  const uint32_t bits = b.value(DType::kBits, height, width, l.outputs);
  const auto step = [&](StepKind kind, uint32_t value, uint32_t a, uint32_t bb, uint32_t n = 0) {
    StepInfo s{kind};
    s.value = value, s.a = a, s.b = bb, s.n = n;
    op.steps.push_back(s);
  };
  if (end == LayerEnd::kThreshold) {
    step(StepKind::kThreshold, bits, b.ints(l.outputs, 0), kNone);
  } else if (end == LayerEnd::kFloats) {
    const uint32_t add = b.value(DType::kF32, height, width, l.outputs), to = b.value(DType::kF32, height, width, l.outputs);
    step(StepKind::kAffine, kNone, b.floats(l.outputs, 0.01f), b.floats(l.outputs, 0.5f));
    step(StepKind::kAdd, add, kNone, kNone);
    step(StepKind::kStore, to, kNone, kNone);
    step(StepKind::kStoreBits, bits, b.floats(l.outputs, 0.25f), kNone);
  } else {
    const uint32_t add = b.value(DType::kI16, height, width, l.outputs), to = b.value(DType::kI16, height, width, l.outputs);
    step(StepKind::kFixed, kNone, b.ints(l.outputs, 300), b.ints(l.outputs, 5), 0);
    step(StepKind::kAddI16, add, kNone, kNone);
    step(StepKind::kStoreI16, to, kNone, kNone);
    step(StepKind::kStoreBitsI16, bits, b.ints(l.outputs, 25), kNone);
  }
  b.m->ops.push_back(op);
  b.m->storage = b.c;
  return b.m;
}

// One prepared layer and its memory.
struct Prepared {
  std::string name;
  std::shared_ptr<const PreparedModel> prepared;
  AlignedBuffer scratch, shared;
  std::vector<Step> steps;
  std::vector<uint64_t> ns;
  Prepared(const std::shared_ptr<const Model>& model, const Kernels& kernels, const Choices& choices, unsigned threads)
      : prepared(prepare(model, kernels, choices)), scratch(prepared->scratch_bytes * threads), shared(prepared->shared_bytes), steps(prepared->step_count) {}
  uint64_t run(Pool& pool, std::vector<View>& views) {
    const auto start = std::chrono::steady_clock::now();
    run_op({prepared.get(), views.data(), 1, &pool, scratch.as<uint8_t>(), steps.data(), shared.as<uint8_t>()}, 0);
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  }
};

template <class T>
T at(std::vector<T> v, double share) {
  std::sort(v.begin(), v.end());
  return v[static_cast<size_t>(share * static_cast<double>(v.size() - 1))];
}

struct Candidate {
  std::string name;
  const BinaryKernel* kernel;
  std::string choice;
};

std::vector<Candidate> candidates(const std::string& what) {
  std::vector<Candidate> found;
  for (const BinaryKernel* tile : what == "avx2" ? candidate_tiles_avx2() : what == "avx512vpopcnt" ? candidate_tiles_avx512vpopcnt() : std::vector<const BinaryKernel*>())
    found.push_back({tile->name, tile, ""});
  if (!found.empty()) return found;
  const BinaryKernel* kernel = find_binary_kernel(nullptr);
  found.push_back({"rules", kernel, ""});
  if (what == "threads") found.push_back({"1", kernel, std::string(kernel->name) + " threads=1"});
  if (what.substr(0, 6) == "pixels")
    for (const char* n : {"12", "24", "48", "96", "192", "384", "768", "100000"}) found.push_back({n, kernel, std::string(kernel->name) + " pixels=" + n});
  return found;
}

void bench(const Layer& l, LayerEnd end, const std::vector<Candidate>& tiles, Pool& pool) {
  const std::shared_ptr<const Model> model = model_of(l, end);
  AlignedBuffer memory(model->arena_bytes, true);
  std::vector<View> views;
  for (const ValueInfo& v : model->values) views.push_back({memory.as<uint8_t>() + v.offset, v.bytes / 4});
  std::mt19937 random(2);
  for (size_t i = 0; i < model->values[0].bytes / 4; ++i) static_cast<uint32_t*>(views[0].data)[i] = random();
  Kernels kernels;
  kernels.floats = find_float_kernel(nullptr);
  kernels.epilogue = find_epilogue_kernel(nullptr);
  kernels.product = find_product_kernel(nullptr);
  std::vector<Prepared> variants;
  variants.reserve(64);
  for (const Candidate& c : tiles) {
    if (c.kernel->panel % 32 != 0 && l.outputs > c.kernel->panel) continue;  // its panels would share words
    kernels.binary = c.kernel;
    kernels.epilogue = find_epilogue_kernel(c.kernel->isa);
    variants.emplace_back(model, kernels, c.choice.empty() ? Choices{} : Choices{{0, c.choice}}, pool.threads());
    variants.back().name = c.name;
    if (end != LayerEnd::kThreshold && !variants.back().prepared->ops[0].chain) variants.back().name += "(loose)";
  }
  uint64_t all = 0;
  for (Prepared& v : variants) v.run(pool, views), all += v.run(pool, views);
  const uint64_t rounds = std::clamp<uint64_t>(120'000'000 / all, 15, 400);
  for (uint64_t r = 0; r < rounds; ++r)
    for (Prepared& v : variants) v.ns.push_back(v.run(pool, views));
  std::printf("%-36s %-9s %8.1f us", l.name().c_str(), kEnds[static_cast<int>(end)], static_cast<double>(at(variants[0].ns, 0.5)) / 1e3);
  for (size_t i = 1; i < variants.size(); ++i) {
    std::vector<double> ratio;
    for (size_t r = 0; r < rounds; ++r) ratio.push_back(static_cast<double>(variants[0].ns[r]) / static_cast<double>(variants[i].ns[r]));
    std::printf("  %s %.3f", variants[i].name.c_str(), at(ratio, 0.5));
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("bitwright_tiles_bench avx2|avx512vpopcnt|pixels|pixels2|threads [layer] [end]"), 1;
  const std::vector<Candidate> tiles = candidates(argv[1]);
  Pool pool(std::strcmp(argv[1], "threads") == 0 || std::strcmp(argv[1], "pixels2") == 0 ? 2 : 1);
  const Pool::Busy busy(pool);
  for (const Layer& l : layers)
    for (const LayerEnd end : {LayerEnd::kThreshold, LayerEnd::kFloats, LayerEnd::kShorts}) {
      if (argc > 2 && l.name().find(argv[2]) == std::string::npos) continue;
      if (argc > 3 && std::strcmp(kEnds[static_cast<int>(end)], argv[3]) != 0) continue;
      bench(l, end, tiles, pool);
    }
}
