#include "table.h"

#include <algorithm>
#include <map>

namespace bitwright {
namespace {

// One dimension: for each output coordinate and tap the input coordinate or -1, and the class of the coordinate.
struct Axis {
  std::vector<int64_t> source;            // [out][kernel]
  std::vector<uint32_t> class_of;         // [out]
  std::vector<std::vector<bool>> missing;  // [classes][kernel]
};

int64_t source_of(const Geometry& g, int dim, int64_t size, int64_t o, int64_t k) {
  if (g.transposed) {
    const int64_t reach = o + g.pad_begin[dim] - k * g.dilation[dim];
    if (reach < 0 || reach % g.stride[dim] != 0) return -1;
    const int64_t i = reach / g.stride[dim];
    return i < size ? i : -1;
  }
  const int64_t i = o * g.stride[dim] - g.pad_begin[dim] + k * g.dilation[dim];
  if (g.pad_mode == PadMode::kReplicate) return std::clamp<int64_t>(i, 0, size - 1);
  return i >= 0 && i < size ? i : -1;
}

Axis make_axis(const Geometry& g, int dim, uint32_t in, uint32_t out) {
  Axis axis;
  const uint32_t kernel = g.kernel[dim];
  axis.source.reserve(size_t{out} * kernel);
  axis.class_of.reserve(out);
  std::map<std::vector<bool>, uint32_t> classes;
  for (uint32_t o = 0; o < out; ++o) {
    std::vector<bool> missing(kernel);
    for (uint32_t k = 0; k < kernel; ++k) {
      axis.source.push_back(source_of(g, dim, in, o, k));
      missing[k] = axis.source.back() < 0;
    }
    const auto [it, fresh] = classes.emplace(std::move(missing), static_cast<uint32_t>(classes.size()));
    if (fresh) axis.missing.push_back(it->first);
    axis.class_of.push_back(it->second);
  }
  return axis;
}

}  // namespace

size_t Table::bytes() const {
  size_t bytes = (offsets.size() + class_of.size()) * 4;
  for (const auto& taps : missing) bytes += taps.size() * 4 + sizeof taps;
  return bytes;
}

std::shared_ptr<const Table> make_table(const Geometry& g, const std::array<uint32_t, 3>& in, const std::array<uint32_t, 3>& out,
                                        size_t pixel_stride, int32_t padding) {
  auto table = std::make_shared<Table>();
  table->pixels = out[0] * out[1] * out[2];
  table->taps = g.taps();
  const Axis d = make_axis(g, 0, in[0], out[0]), h = make_axis(g, 1, in[1], out[1]), w = make_axis(g, 2, in[2], out[2]);
  const uint32_t kd = g.kernel[0], kh = g.kernel[1], kw = g.kernel[2];
  const auto classes_h = static_cast<uint32_t>(h.missing.size()), classes_w = static_cast<uint32_t>(w.missing.size());
  const auto inside = [](const Axis& axis) { return std::all_of(axis.source.begin(), axis.source.end(), [](int64_t x) { return x >= 0; }); };
  table->has_padding = !inside(d) || !inside(h) || !inside(w);
  table->offsets.resize(size_t{table->pixels} * table->taps);
  table->class_of.resize(table->pixels);
  int32_t* offset = table->offsets.data();
  uint32_t* class_of = table->class_of.data();
  const auto stride = static_cast<int64_t>(pixel_stride);
  std::vector<int64_t> lines(size_t{kd} * kh);  // where the line of each tap begins, or -1
  for (uint32_t od = 0; od < out[0]; ++od)
    for (uint32_t oh = 0; oh < out[1]; ++oh) {
      for (uint32_t i = 0; i < kd; ++i)
        for (uint32_t j = 0; j < kh; ++j) {
          const int64_t sd = d.source[size_t{od} * kd + i], sh = h.source[size_t{oh} * kh + j];
          lines[size_t{i} * kh + j] = sd >= 0 && sh >= 0 ? (sd * in[1] + sh) * in[2] : -1;
        }
      const int64_t* source = w.source.data();
      for (uint32_t ow = 0; ow < out[2]; ++ow, source += kw) {
        *class_of++ = (d.class_of[od] * classes_h + h.class_of[oh]) * classes_w + w.class_of[ow];
        for (const int64_t line : lines)
          for (uint32_t k = 0; k < kw; ++k)
            *offset++ = line >= 0 && source[k] >= 0 ? static_cast<int32_t>((line + source[k]) * stride) : padding;
      }
    }
  for (const auto& md : d.missing)
    for (const auto& mh : h.missing)
      for (const auto& mw : w.missing) {
        std::vector<uint32_t> taps;
        for (uint32_t t = 0; t < table->taps; ++t)
          if (md[t / (kh * kw)] || mh[t / kw % kh] || mw[t % kw]) taps.push_back(t);
        table->missing.push_back(std::move(taps));
      }
  return table;
}

}  // namespace bitwright
