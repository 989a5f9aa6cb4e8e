#include "gather.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace bitwright {

size_t Gather::bytes() const { return (origin.size() + pattern.size() + first.size()) * 4 + runs.size() * sizeof(GatherRun); }

std::shared_ptr<const Gather> make_gather(const Table& table, uint32_t channels, int32_t padding) {
  auto gather = std::make_shared<Gather>();
  gather->row_bytes = (size_t{table.taps} * channels + 3) / 4 * 4;
  gather->first.push_back(0);
  using Key = std::vector<std::tuple<int32_t, uint32_t, bool>>;
  std::map<Key, uint32_t> known;
  Key key;
  for (uint32_t p = 0; p < table.pixels; ++p) {
    const int32_t* offsets = table.row(p);
    const int32_t* inside = std::find_if(offsets, offsets + table.taps, [&](int32_t o) { return o != padding; });
    const int32_t origin = inside == offsets + table.taps ? 0 : *inside;
    key.clear();
    for (uint32_t t = 0; t < table.taps; ++t) {
      const bool fixed = offsets[t] == padding;
      const int32_t offset = fixed ? padding : offsets[t] - origin;
      if (!key.empty() && !fixed && !std::get<2>(key.back()) && std::get<0>(key.back()) + static_cast<int32_t>(std::get<1>(key.back())) == offset)
        std::get<1>(key.back()) += channels;
      else
        key.emplace_back(offset, channels, fixed);
    }
    const auto [it, fresh] = known.emplace(key, static_cast<uint32_t>(known.size()));
    if (fresh) {
      for (const auto& [offset, bytes, fixed] : key) gather->runs.push_back({offset, bytes, fixed});
      gather->first.push_back(static_cast<uint32_t>(gather->runs.size()));
    }
    gather->origin.push_back(origin);
    gather->pattern.push_back(it->second);
  }
  return gather;
}

}  // namespace bitwright
