#include "gather.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace bitwright {
namespace {

using Key = std::vector<std::tuple<int32_t, uint32_t, bool>>;  // runs: offset, bytes, fixed

// The runs of a window: taps that follow each other in memory, within a line.
void runs_of(Key& key, const int32_t* offsets, const Table& table, uint32_t channels, uint32_t width, int32_t padding, int32_t origin) {
  key.clear();
  for (uint32_t t = 0; t < table.taps; ++t) {
    const bool fixed = offsets[t] == padding;
    const int32_t offset = fixed ? padding : offsets[t] - origin;
    if (t % width != 0 && !fixed && !std::get<2>(key.back()) && std::get<0>(key.back()) + static_cast<int32_t>(std::get<1>(key.back())) == offset)
      std::get<1>(key.back()) += channels;
    else
      key.emplace_back(offset, channels, fixed);
  }
}

// Whether every tap lies `distance` behind that of `before`: nearly always, and quickly seen.
bool is_shifted(const int32_t* offsets, const int32_t* before, uint32_t taps, int32_t padding, int32_t distance) {
  bool differs = false;
  for (uint32_t t = 0; t < taps; ++t) {
    const bool outside = offsets[t] == padding, was_outside = before[t] == padding;
    differs |= (outside != was_outside) | (!outside & (offsets[t] - before[t] != distance));
  }
  return !differs;
}

void find_alike(Gather& g) {
  const size_t pixels = g.origin.size();
  const auto whole = [&](size_t p) { return g.whole[g.pattern[p]] != 0; };
  for (size_t p = 1; p < pixels && g.step == 0; ++p)
    if (whole(p) && g.pattern[p] == g.pattern[p - 1]) g.step = g.origin[p] - g.origin[p - 1];
  g.alike.assign(pixels, 0);
  for (size_t p = pixels; p-- > 0;) {
    if (!whole(p)) continue;
    const bool goes_on = p + 1 < pixels && g.pattern[p + 1] == g.pattern[p] && g.origin[p + 1] - g.origin[p] == g.step && g.alike[p + 1] < 0xffff;
    g.alike[p] = static_cast<uint16_t>(goes_on ? g.alike[p + 1] + 1 : 1);
  }
}

}  // namespace

size_t Gather::bytes() const {
  return (origin.size() + pattern.size() + first.size() + offsets.size() + packed.size()) * 4 + whole.size() + alike.size() * 2 + runs.size() * sizeof(GatherRun);
}

size_t Gather::whole_pixels() const { return alike.size() - static_cast<size_t>(std::count(alike.begin(), alike.end(), 0)); }

std::shared_ptr<const Gather> make_gather(const Table& table, uint32_t channels, uint32_t width, int32_t padding) {
  auto gather = std::make_shared<Gather>();
  gather->lines = table.taps / width;
  gather->line = width * channels;
  gather->row = (size_t{gather->lines} * gather->line + 3) / 4 * 4;
  for (uint32_t line = 0; line < gather->lines; ++line) gather->packed.push_back(static_cast<int32_t>(line * gather->line));
  gather->first.push_back(0);
  std::map<Key, uint32_t> known;
  Key key;
  for (uint32_t p = 0; p < table.pixels; ++p) {
    const int32_t* offsets = table.row(p);
    const int32_t* inside = std::find_if(offsets, offsets + table.taps, [&](int32_t o) { return o != padding; });
    const int32_t origin = inside == offsets + table.taps ? 0 : *inside;
    if (p > 0 && is_shifted(offsets, table.row(p - 1), table.taps, padding, origin - gather->origin.back())) {
      gather->origin.push_back(origin);
      gather->pattern.push_back(gather->pattern.back());
      continue;
    }
    runs_of(key, offsets, table, channels, width, padding, origin);
    const auto [it, fresh] = known.emplace(key, static_cast<uint32_t>(known.size()));
    if (fresh) {
      bool whole = key.size() == gather->lines;
      for (const auto& [offset, bytes, fixed] : key) {
        gather->runs.push_back({offset, bytes, fixed});
        whole = whole && !fixed;
      }
      gather->first.push_back(static_cast<uint32_t>(gather->runs.size()));
      gather->whole.push_back(whole);
      for (uint32_t line = 0; line < gather->lines; ++line) gather->offsets.push_back(whole ? std::get<0>(key[line]) : 0);
    }
    gather->origin.push_back(origin);
    gather->pattern.push_back(it->second);
  }
  find_alike(*gather);
  return gather;
}

}  // namespace bitwright
