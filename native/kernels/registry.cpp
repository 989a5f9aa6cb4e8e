#include <climits>
#include <cstring>
#include <iterator>
#include <vector>

#include "cpu.h"
#include "entries.h"
#include "kernel.h"

namespace bitwright {

bool supports_portable() { return true; }
bool supports_sse42() { return cpu_features().sse42; }
bool supports_avx2() { return cpu_features().avx2; }
bool supports_avx512() { return cpu_features().avx512; }
bool supports_avx512vnni() { return cpu_features().avx512vnni; }
bool supports_avx512vpopcnt() { return cpu_features().avx512vpopcnt; }
bool supports_gfni() { return cpu_features().gfni; }
bool supports_neon() { return cpu_features().neon; }
bool supports_neondot() { return cpu_features().neondot; }

namespace {

struct Isa {
  const char* name;
  int rank;
  bool (*supported)();
};

const Isa isas[] = {
    {"portable", kRankPortable, supports_portable},
    {"sse42", kRankSse42, supports_sse42},
    {"avx2", kRankAvx2, supports_avx2},
    {"avx512", kRankAvx512, supports_avx512},
    {"avx512vnni", kRankAvx512Vnni, supports_avx512vnni},
    {"avx512vpopcnt", kRankAvx512Vpopcnt, supports_avx512vpopcnt},
    {"gfni", kRankGfni, supports_gfni},
    {"neon", kRankNeon, supports_neon},
    {"neondot", kRankNeondot, supports_neondot},
};

const Isa* find_isa(const char* name) {
  for (const Isa& isa : isas)
    if (std::strcmp(isa.name, name) == 0) return &isa;
  return nullptr;
}

// The kernels that this binary holds, ended by a null pointer.
template <class Kernel, size_t N>
struct List {
  const Kernel* entries[N + 1] = {};
  explicit List(const Kernel* const (&candidates)[N]) {
    size_t n = 0;
    for (const Kernel* k : candidates)
      if (k != nullptr) entries[n++] = k;
  }
};

template <class Kernel>
const Kernel* find(const Kernel* const* list, const char* name_or_isa) {
  int limit = INT_MAX;
  if (name_or_isa != nullptr) {
    for (const Kernel* const* k = list; *k != nullptr; ++k)
      if (std::strcmp((*k)->name, name_or_isa) == 0) return (*k)->supported() ? *k : nullptr;
    const Isa* isa = find_isa(name_or_isa);
    if (isa == nullptr || !isa->supported()) return nullptr;
    limit = isa->rank;
  }
  const Kernel* best = nullptr;
  for (const Kernel* const* k = list; *k != nullptr; ++k)
    if ((*k)->rank <= limit && (best == nullptr || (*k)->rank > best->rank) && (*k)->supported()) best = *k;
  return best;
}

}  // namespace

// The lists are built on first use: the entries live in other translation units, whose constants are set before any code runs.
const BinaryKernel* const* binary_kernels() {
  // Of one rank, the first is the default.
  static const BinaryKernel* const all[] = {bconv_portable,      bconv_sse42,           bconv_avx2,            bconv32_avx2, bconv_avx512,
                                            bconv_avx512vpopcnt, bconv32_avx512vpopcnt, bconv16_avx512vpopcnt, bconv_neon,   bconv_neondot};
  static const List<BinaryKernel, std::size(all)> list(all);
  return list.entries;
}

const BinaryKernel* const* binary_tiles() {
  static const std::vector<const BinaryKernel*> all = [] {
    std::vector<const BinaryKernel*> found;
    for (const BinaryKernel* const* k = binary_kernels(); *k != nullptr; ++k)
      for (const BinaryKernel* const* tile = (*k)->tiles; tile != nullptr && *tile != nullptr; ++tile) found.push_back(*tile);
    found.push_back(nullptr);
    return found;
  }();
  return all.data();
}

const SlicedKernel* const* sliced_kernels() {
  static const SlicedKernel* const all[] = {bconv_gfni};
  static const List<SlicedKernel, 1> list(all);
  return list.entries;
}

const DepthwiseKernel* const* depthwise_kernels() {
  static const DepthwiseKernel* const all[] = {bdepthwise_portable, bdepthwise_avx2, bdepthwise_avx512, bdepthwise_neon};
  static const List<DepthwiseKernel, std::size(all)> list(all);
  return list.entries;
}

const FloatKernel* const* float_kernels() {
  static const FloatKernel* const all[] = {fconv_portable, fconv_avx2, fconv_avx512, fconv_neon};
  static const List<FloatKernel, std::size(all)> list(all);
  return list.entries;
}

const MinimalKernel* const* minimal_kernels() {
  static const MinimalKernel* const all[] = {fconv_minimal_avx2, fconv_minimal_avx512, fconv_minimal_neon};
  static const List<MinimalKernel, std::size(all)> list(all);
  return list.entries;
}

const Int8Kernel* const* int8_kernels() {
  static const Int8Kernel* const all[] = {qconv_portable, qconv_avx2, qconv_avx512vnni, qconv_neon, qconv_neondot};
  static const List<Int8Kernel, std::size(all)> list(all);
  return list.entries;
}

const EpilogueKernel* const* epilogue_kernels() {
  static const EpilogueKernel* const all[] = {epilogue_portable, epilogue_avx2, epilogue_avx512, epilogue_neon};
  static const List<EpilogueKernel, std::size(all)> list(all);
  return list.entries;
}

const PackKernel* const* pack_kernels() {
  static const PackKernel* const all[] = {pack_portable, pack_avx2, pack_avx512, pack_neon};
  static const List<PackKernel, std::size(all)> list(all);
  return list.entries;
}

const ProductKernel* const* product_kernels() {
  static const ProductKernel* const all[] = {bmatmul_portable, bmatmul_avx2, bmatmul_avx512, bmatmul_neon};
  static const List<ProductKernel, std::size(all)> list(all);
  return list.entries;
}

const PoolKernel* const* pool_kernels() {
  static const PoolKernel* const all[] = {pool_portable, pool_avx2, pool_avx512, pool_neon};
  static const List<PoolKernel, std::size(all)> list(all);
  return list.entries;
}

const char* const* isa_names() {
  static const struct Names {
    const char* entries[std::size(isas) + 1] = {};
    Names() {
      for (size_t i = 0; i < std::size(isas); ++i) entries[i] = isas[i].name;
    }
  } names;
  return names.entries;
}

bool isa_supported(const char* name) {
  const Isa* isa = find_isa(name);
  return isa != nullptr && isa->supported();
}

const BinaryKernel* find_binary_kernel(const char* name_or_isa) {
  if (name_or_isa != nullptr && std::strchr(name_or_isa, '/') != nullptr) return find(binary_tiles(), name_or_isa);
  return find(binary_kernels(), name_or_isa);
}
const SlicedKernel* find_sliced_kernel(const char* name_or_isa) { return find(sliced_kernels(), name_or_isa); }
const DepthwiseKernel* find_depthwise_kernel(const char* name_or_isa) { return find(depthwise_kernels(), name_or_isa); }
const FloatKernel* find_float_kernel(const char* name_or_isa) { return find(float_kernels(), name_or_isa); }
const MinimalKernel* find_minimal_kernel(const char* name_or_isa) { return find(minimal_kernels(), name_or_isa); }
const Int8Kernel* find_int8_kernel(const char* name_or_isa) { return find(int8_kernels(), name_or_isa); }
const EpilogueKernel* find_epilogue_kernel(const char* name_or_isa) { return find(epilogue_kernels(), name_or_isa); }
const PackKernel* find_pack_kernel(const char* name_or_isa) { return find(pack_kernels(), name_or_isa); }
const ProductKernel* find_product_kernel(const char* name_or_isa) { return find(product_kernels(), name_or_isa); }
const PoolKernel* find_pool_kernel(const char* name_or_isa) { return find(pool_kernels(), name_or_isa); }

}  // namespace bitwright
