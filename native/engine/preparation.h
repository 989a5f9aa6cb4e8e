// What the preparation of a model's ops shares: the limit on its memory, tables of equal geometry, the cut into panels and their packing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "error.h"
#include "prepare.h"

namespace bitwright {

inline constexpr uint32_t kFlatChannels = 512;

inline uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

// A kernel that covers the map without padding reads it from end to end: one long tap.
bool covers_map(const Geometry& g, const ValueInfo& in);

bool is_depthwise(const OpInfo& op, const ValueInfo& in);

// A bits value with groups that share words with their neighbours' tile: only whole pixels can be written.
bool straddles(const PreparedOp& p);

class Preparation {
 public:
  Preparation(std::shared_ptr<const Model> model, const Kernels& kernels);

  const Model& model() const { return *result_->model; }
  uint64_t network_bytes() const { return network_bytes_; }  // constants and values of a sample
  // The op at hand, for messages.
  const std::string& where() const { return where_; }
  void at(size_t index);
  std::vector<PreparedOp>& ops() { return result_->ops; }
  std::shared_ptr<const PreparedModel> finish() { return std::move(result_); }

  template <class T>
  const T* constant(uint32_t id) const {
    return id == kNone ? nullptr : static_cast<const T*>(model().constants[id].data);
  }

  // Memory that is held, which the model's limits bound; of a thread's scratch; of all threads together.
  void charge(uint64_t bytes);
  void charge_weights(uint64_t bytes);
  void scratch(uint64_t bytes) { result_->scratch_bytes = std::max<size_t>(result_->scratch_bytes, round_up(bytes, 64)); }
  void shared(uint64_t bytes);
  void place_steps(PreparedOp& p) {
    p.steps_at = result_->step_count;
    result_->step_count += p.steps.size();
  }

  void plan(PreparedOp& p, uint32_t channels);
  void cut(const OpInfo& op, PreparedOp& p, uint32_t panel, uint32_t mr, uint32_t groups);
  std::shared_ptr<const Table> table(const OpInfo& op, const ValueInfo& in, bool one_tap, size_t pixel_stride, int32_t padding);

  // Packed panels of all groups, one after the other. canonical(group) gives a group's weights [outputs][taps][depth].
  template <class Word, class LayOut, class Canonical, class PanelBytes>
  void pack(const OpInfo& op, PreparedOp& p, const LayOut& lay_out, const Canonical& canonical, const PanelBytes& panel_bytes) {
    const uint32_t groups = op.geometry.groups;
    p.panel_bytes = panel_bytes(p.taps, p.depth);
    const uint64_t panels = uint64_t{groups} * p.cut.panels_per_group;
    const uint64_t total = checked_product({panels, p.panel_bytes}, model().limits.prepared_bytes, where_ + ": packed weights");
    charge_weights(total);
    p.weights = AlignedBuffer(total);
    for (uint32_t g = 0; g < groups; ++g)
      lay_out(reinterpret_cast<Word*>(p.weights.as<uint8_t>() + uint64_t{g} * p.cut.panels_per_group * p.panel_bytes),
              canonical(g), p.cut.group_outputs, p.taps, p.depth);
  }

  // Of a depthwise convolution: [panels][taps][panel] from [channels][taps].
  template <class Weight>
  void pack_depthwise(PreparedOp& p, const Weight* canonical) {
    const uint32_t panel = p.cut.panel, channels = p.cut.group_outputs;
    p.panel_bytes = round_up(size_t{p.taps} * panel * sizeof(Weight), 64);
    const uint64_t total = uint64_t{p.cut.panels_per_group} * p.panel_bytes;
    charge_weights(total);
    p.weights = AlignedBuffer(total, true);
    for (uint32_t c = 0; c < channels; ++c)
      for (uint32_t t = 0; t < p.taps; ++t)
        reinterpret_cast<Weight*>(p.weights.as<uint8_t>() + c / panel * p.panel_bytes)[size_t{t} * panel + c % panel] = canonical[size_t{c} * p.taps + t];
  }

 private:
  std::shared_ptr<PreparedModel> result_ = std::make_shared<PreparedModel>();
  std::map<std::string, std::shared_ptr<const Table>> tables_;
  std::string where_;
  uint64_t network_bytes_ = 0;
};

}  // namespace bitwright
