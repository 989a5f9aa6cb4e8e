#include "roofline.h"

#include <cstring>

namespace bitwright {

const RooflineLoop* const roofline_files[] = {roofline_avx512vpopcnt, roofline_gfni,    roofline_avx512vnni, roofline_avx512,   roofline_avx2,
                                              roofline_sse42,         roofline_neondot, roofline_neon,       roofline_portable, nullptr};

const RooflineLoop& roofline_loop(RooflineFamily family, const char* isa) {
  const RooflineLoop* best = nullptr;
  for (const RooflineLoop* const* file = roofline_files; *file; ++file)
    for (const RooflineLoop* loop = *file; loop->name; ++loop) {
      if (loop->family != family || !loop->supported()) continue;
      if (isa && std::strcmp(loop->isa, isa) == 0) return *loop;
      if (!best) best = loop;
    }
  return *best;  // the portable file has every family
}

}  // namespace bitwright
