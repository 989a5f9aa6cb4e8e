// Lists and look-ups: by name, by instruction set, the best.
#include "kernels_common.h"

namespace bitwright::kernels_test {
namespace {

TEST(Registry, PortableIsAlwaysThere) {
  EXPECT_STREQ(find_binary_kernel("portable")->name, "bconv_portable");
  EXPECT_STREQ(find_float_kernel("fconv_portable")->name, "fconv_portable");
  EXPECT_STREQ(find_int8_kernel("portable")->name, "qconv_portable");
  EXPECT_STREQ(find_epilogue_kernel("portable")->name, "epilogue_portable");
  EXPECT_STREQ(find_pack_kernel("portable")->name, "pack_portable");
}

TEST(Registry, UnknownNamesFindNothing) {
  for (const char* name : {"", "avx", "bconv_avx1024", "PORTABLE"}) {
    EXPECT_EQ(find_binary_kernel(name), nullptr) << name;
    EXPECT_EQ(find_float_kernel(name), nullptr) << name;
    EXPECT_EQ(find_int8_kernel(name), nullptr) << name;
    EXPECT_EQ(find_epilogue_kernel(name), nullptr) << name;
    EXPECT_EQ(find_pack_kernel(name), nullptr) << name;
    EXPECT_FALSE(isa_supported(name)) << name;
  }
  EXPECT_EQ(find_binary_kernel("fconv_portable"), nullptr);
}

template <class Kernel>
void check_list(const Kernel* const* list, const Kernel* (*find)(const char*)) {
  const Kernel* best = find(nullptr);
  ASSERT_NE(best, nullptr);
  for (; *list != nullptr; ++list) {
    const Kernel& k = **list;
    EXPECT_EQ(std::string(k.name).substr(std::string(k.name).find('_') + 1), k.isa);
    EXPECT_EQ(k.supported(), isa_supported(k.isa)) << k.name;
    EXPECT_EQ(find(k.name), k.supported() ? &k : nullptr) << k.name;
    // Variants of one kernel share its instruction set; the name of that finds the first of them.
    const Kernel* of_isa = find(k.isa);
    ASSERT_EQ(of_isa != nullptr, k.supported()) << k.isa;
    if (of_isa != nullptr) {
      EXPECT_STREQ(of_isa->isa, k.isa);
    }
    EXPECT_TRUE(!k.supported() || k.rank <= best->rank) << k.name;
  }
}

TEST(Registry, EveryKernelIsFoundByItsNameAndItsInstructionSet) {
  check_list(binary_kernels(), find_binary_kernel);
  check_list(depthwise_kernels(), find_depthwise_kernel);
  check_list(float_kernels(), find_float_kernel);
  check_list(int8_kernels(), find_int8_kernel);
  check_list(epilogue_kernels(), find_epilogue_kernel);
  check_list(pack_kernels(), find_pack_kernel);
  check_list(product_kernels(), find_product_kernel);
  check_list(pool_kernels(), find_pool_kernel);
}

TEST(Registry, TilesCarryTheirKernelsNameAndAreFoundByTheirs) {
  size_t seen = 0;
  for (const BinaryKernel* const* list = binary_kernels(); *list != nullptr; ++list) {
    const BinaryKernel& k = **list;
    EXPECT_EQ(std::string(k.name).find('/'), std::string::npos);
    if (k.tiles == nullptr) continue;
    bool own = false;
    for (const BinaryKernel* const* tile = k.tiles; *tile != nullptr; ++tile, ++seen) {
      const BinaryKernel& t = **tile;
      EXPECT_EQ(t.name, std::string(k.name) + "/" + std::to_string(t.mr) + "x" + std::to_string(t.panel));
      EXPECT_STREQ(t.isa, k.isa);
      EXPECT_EQ(t.tiles, nullptr);
      EXPECT_EQ(t.tile_for, nullptr);
      EXPECT_EQ(find_binary_kernel(t.name), k.supported() ? &t : nullptr);
      own |= t.mr == k.mr && t.panel == k.panel;
    }
    EXPECT_TRUE(own) << k.name << " is not among its tiles";
    if (k.tile_for == nullptr) continue;
    for (uint32_t taps : {1u, 9u, 49u})
      for (uint32_t words : {1u, 2u, 100u}) {
        const BinaryKernel* chosen = k.tile_for(taps, words);
        EXPECT_NE(std::string(chosen->name).find(std::string(k.name) + "/"), std::string::npos);
        EXPECT_EQ(chosen->panel, k.panel);
      }
  }
  size_t listed = 0;
  for (const BinaryKernel* const* tile = binary_tiles(); *tile != nullptr; ++tile) ++listed;
  EXPECT_EQ(listed, seen);
  EXPECT_EQ(find_binary_kernel("bconv_portable/4x64"), nullptr);
}

TEST(Registry, NarrowVariantsShareTheInstructionSet) {
  for (const BinaryKernel* const* list = binary_kernels(); *list != nullptr; ++list) {
    if ((*list)->narrow == nullptr) continue;
    const BinaryKernel* narrow = *(*list)->narrow;
    ASSERT_NE(narrow, nullptr) << (*list)->name;
    EXPECT_STREQ(narrow->isa, (*list)->isa);
    EXPECT_LT(narrow->panel, (*list)->panel);
  }
}

TEST(Registry, AnInstructionSetFindsTheBestKernelThatNeedsNoMore) {
  int last = -1;
  for (const char* const* isa = isa_names(); *isa != nullptr; ++isa) {
    const FloatKernel* k = find_float_kernel(*isa);
    EXPECT_EQ(k != nullptr, isa_supported(*isa)) << *isa;
    if (k == nullptr) continue;
    EXPECT_GE(k->rank, last);
    last = k->rank;
  }
  EXPECT_EQ(last, find_float_kernel(nullptr)->rank);
  if (isa_supported("avx512vpopcnt")) {
    EXPECT_EQ(find_float_kernel("avx512vpopcnt"), find_float_kernel("avx512"));
  }
}

}  // namespace
}  // namespace bitwright::kernels_test
