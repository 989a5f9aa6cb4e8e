#include "selection.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "error.h"

namespace bitwright {
namespace {

template <class Kernel>
void add_facts(std::vector<KernelFacts>& facts, const char* operation, const Kernel* const* list, const Kernel* best) {
  for (; *list; ++list)
    facts.push_back({(*list)->name, operation, (*list)->isa, (*list)->about, (*list)->supported(), *list == best});
}

std::string known_names() {
  std::string known = "instruction sets ";
  for (const char* const* isa = isa_names(); *isa; ++isa) known += text(isa == isa_names() ? "" : ", ", *isa);
  known += "; kernels ";
  bool first = true;
  for (const KernelFacts& k : list_kernels()) {
    if (k.operation == "pack") continue;
    known += text(first ? "" : ", ", k.name);
    first = false;
  }
  return known;
}

// The best of an instruction set and those below, or of the CPU (null).
Kernels best_of(const char* isa) {
  Kernels k;
  k.binary = find_binary_kernel(isa);
  k.sliced = find_sliced_kernel(isa);
  k.floats = find_float_kernel(isa);
  k.minimal = find_minimal_kernel(isa);
  k.int8 = find_int8_kernel(isa);
  k.epilogue = find_epilogue_kernel(isa);
  k.product = find_product_kernel(isa);
  k.depthwise = find_depthwise_kernel(isa);
  k.pool = find_pool_kernel(isa);
  return k;
}

void choose_name(Kernels& kernels, const std::string& name, const std::string& origin) {
  const size_t slash = std::min(name.find('/'), name.size());
  for (const KernelFacts& k : list_kernels()) {
    if (k.name != name.substr(0, slash) || k.operation == "pack") continue;
    if (slash < name.size() && std::find(k.tiles.begin(), k.tiles.end(), name.substr(slash + 1)) == k.tiles.end()) {
      std::string tiles;
      for (const std::string& tile : k.tiles) tiles += (tiles.empty() ? "" : ", ") + tile;
      fail(Status::kKernel, "kernel '", name, "'", origin, ": ", k.name, " has ", tiles.empty() ? "no tiles to choose from" : "the tiles " + tiles);
    }
    if (!k.supported) fail(Status::kKernel, "kernel '", name, "'", origin, " needs the instruction set ", k.isa, ", which this CPU does not support");
    if (k.operation == "bconv") {
      kernels.sliced = find_sliced_kernel(name.c_str());
      kernels.sliced_forced = kernels.sliced != nullptr;
      if (!kernels.sliced) kernels.binary = find_binary_kernel(name.c_str());
    }
    if (k.operation == "bdepthwise") kernels.depthwise = find_depthwise_kernel(name.c_str());
    if (k.operation == "bmatmul") kernels.product = find_product_kernel(name.c_str());
    if (k.operation == "pool") kernels.pool = find_pool_kernel(name.c_str());
    if (k.operation == "fconv") {
      kernels.minimal = find_minimal_kernel(name.c_str());
      kernels.minimal_forced = kernels.minimal != nullptr;
      if (!kernels.minimal) kernels.floats = find_float_kernel(name.c_str());
    }
    if (k.operation == "qconv") kernels.int8 = find_int8_kernel(name.c_str());
    if (k.operation == "epilogue") kernels.epilogue = find_epilogue_kernel(name.c_str());
    return;
  }
  fail(Status::kKernel, "unknown kernel '", name, "'", origin, "; known: ", known_names());
}

void choose(Kernels& kernels, const std::string& name, const std::string& origin) {
  for (const char* const* isa = isa_names(); *isa; ++isa) {
    if (name != *isa) continue;
    if (!isa_supported(*isa)) fail(Status::kKernel, "kernel '", name, "'", origin, ": this CPU does not support the instruction set ", name);
    kernels = best_of(*isa);
    kernels.sliced_forced = kernels.sliced && name == kernels.sliced->isa;
    return;
  }
  choose_name(kernels, name, origin);
}

}  // namespace

std::vector<KernelFacts> list_kernels() {
  std::vector<KernelFacts> facts;
  add_facts(facts, "bconv", binary_kernels(), find_binary_kernel(nullptr));
  for (size_t i = 0; i < facts.size(); ++i)
    for (const BinaryKernel* const* tile = binary_kernels()[i]->tiles; tile && *tile; ++tile)
      facts[i].tiles.push_back(std::string((*tile)->name).substr(facts[i].name.size() + 1));
  add_facts<SlicedKernel>(facts, "bconv", sliced_kernels(), nullptr);  // never for all layers: see worth_slicing
  add_facts(facts, "bdepthwise", depthwise_kernels(), find_depthwise_kernel(nullptr));
  add_facts(facts, "fconv", float_kernels(), find_float_kernel(nullptr));
  add_facts<MinimalKernel>(facts, "fconv", minimal_kernels(), nullptr);  // never for all layers: see worth_minimal
  add_facts(facts, "qconv", int8_kernels(), find_int8_kernel(nullptr));
  add_facts(facts, "epilogue", epilogue_kernels(), find_epilogue_kernel(nullptr));
  add_facts(facts, "pack", pack_kernels(), find_pack_kernel(nullptr));
  add_facts(facts, "bmatmul", product_kernels(), find_product_kernel(nullptr));
  add_facts(facts, "pool", pool_kernels(), find_pool_kernel(nullptr));
  return facts;
}

void choose_kernel(Kernels& kernels, const std::string& name) { choose_name(kernels, name, ""); }

Kernels select_kernels(const std::string& request) {
  std::string names = request;
  std::string origin;
  if (names.empty()) {
    const char* environment = std::getenv("BITWRIGHT_KERNEL");
    if (environment && *environment) {
      names = environment;
      origin = " (from the environment variable BITWRIGHT_KERNEL)";
    }
  }
  Kernels kernels = best_of(nullptr);
  for (size_t at = 0; at < names.size();) {
    const size_t comma = std::min(names.find(',', at), names.size());
    choose(kernels, names.substr(at, comma - at), origin);
    at = comma + 1;
  }
  kernels.forced = !names.empty();
  if (!kernels.binary || !kernels.floats || !kernels.int8 || !kernels.epilogue || !kernels.product || !kernels.depthwise || !kernels.pool)
    fail(Status::kInternal, "this build has no portable kernels");
  if (std::max({kernels.binary->mr, kernels.floats->mr, kernels.int8->mr}) > kMaxTilePixels ||
      std::max({kernels.binary->panel, kernels.floats->panel, kernels.int8->panel}) > kMaxPanel ||
      (kernels.sliced && (8 * kernels.sliced->mr > kMaxTilePixels || kernels.sliced->panel != 64)))
    fail(Status::kInternal, "a kernel's tile is larger than the executor's");
  return kernels;
}

}  // namespace bitwright
