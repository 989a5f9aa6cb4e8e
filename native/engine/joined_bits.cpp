#include "joined_bits.h"

#include <algorithm>

namespace bitwright {

JoinedBits join_bits(const PreparedOp& p, uint32_t out_channels) {
  const Cut& cut = p.cut;
  const ValueRef& to = p.steps[0].step.value;
  const uint32_t of_group = out_channels / to.groups, group_words = (of_group + 31) / 32;
  JoinedBits joined;
  joined.panel_words = (cut.panel + 31) / 32;
  joined.row_words = cut.panels * joined.panel_words;
  joined.flip.assign(to.pixel_stride, 0);
  for (uint32_t panel = 0; panel < cut.panels; ++panel) {
    const uint32_t inside = panel % cut.panels_per_group * cut.panel, first = panel / cut.panels_per_group * cut.group_outputs + inside;
    const uint32_t outputs = std::min(cut.panel, cut.group_outputs - inside);
    for (uint32_t j = 0, count; j < outputs; j += count) {
      const uint32_t place = (first + j) % of_group, word = (first + j) / of_group * group_words + place / 32;
      count = std::min({outputs - j, 32 - j % 32, 32 - place % 32, of_group - place});
      joined.runs.push_back({panel * joined.panel_words + j / 32, word, j % 32, place % 32, count == 32 ? 0xffffffffu : (1u << count) - 1u});
      for (uint32_t k = 0; k < count && p.flip; ++k) joined.flip[word] |= (p.flip[(first + j + k) / 32] >> ((first + j + k) % 32) & 1) << (place % 32 + k);
    }
  }
  return joined;
}

}  // namespace bitwright
