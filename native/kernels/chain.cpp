#include "chain.h"

#include <algorithm>
#include <cmath>

namespace bitwright {
namespace {

class Planner {
 public:
  Planner(const Step* steps, size_t n, uint32_t channels) : steps_(steps), n_(n), channels_(channels), width_((channels + 31) / 32 * 32 + 32) {
    plan_->operands.reserve(8 * width_);  // never grows: pointers into it stay
  }

  std::unique_ptr<const ChainPlan> run() {
    if (n_ == 0 || n_ > 16) return nullptr;
    plan_->fixed = is_fixed(steps_[0].kind) && steps_[0].kind != StepKind::kQuantizeI16;
    if (!(plan_->fixed ? fixed() : floats()) || !stores() || at_ != n_) return nullptr;
    return std::move(plan_);
  }

 private:
  bool is(StepKind kind, size_t ahead = 0) const { return at_ + ahead < n_ && steps_[at_ + ahead].kind == kind; }

  const float* spread(const float* data, float number) {
    auto& o = plan_->operands;
    const size_t begin = o.size();
    if (data != nullptr)
      o.insert(o.end(), data, data + channels_);
    else
      o.insert(o.end(), channels_, number);
    o.resize(begin + width_, 0.0f);
    return o.data() + begin;
  }

  // x * 1 is x, so such a step is one addition.
  bool is_shift(size_t ahead) const { return is(StepKind::kAffine, ahead) && steps_[at_ + ahead].a == nullptr && steps_[at_ + ahead].p0 == 1.0f; }

  static bool plain_bits(const Step& s) { return s.value.groups <= 1 || s.value.group_channels % 32 == 0; }

  bool floats() {
    ChainPlan& p = *plan_;
    const bool shifted = is_shift(0) && is(StepKind::kPrelu, 1);
    if (is(StepKind::kAffine) && !shifted) {
      // The first of two affines is mostly a scale and + 0, which only turns -0 into +0; that shows after the second only where its offset is -0.
      const Step &first = steps_[at_], second = is(StepKind::kAffine, 1) ? steps_[at_ + 1] : Step{};
      if (is(StepKind::kAffine, 1) && !is(StepKind::kPrelu, 2)) {
        if (first.b != nullptr || first.p1 != 0 || std::signbit(first.p1)) return false;
        p.scale = spread(first.a, first.p0);
        p.a = spread(second.a, second.p0);
        p.b = spread(second.b, second.p1);
        for (uint32_t c = 0; c < channels_; ++c)
          if (p.b[c] == 0 && std::signbit(p.b[c])) return false;
        p.head = Head::kScaleAffine;
        at_ += 2;
      } else {
        p.a = spread(first.a, first.p0);
        p.b = spread(first.b, first.p1);
        p.head = Head::kAffine;
        ++at_;
      }
    }
    if (is(StepKind::kAdd)) {
      p.adds_shorts = steps_[at_].value_scale != 0;
      p.add = static_cast<uint8_t>(at_++);
    }
    if (is(StepKind::kPrelu)) {
      p.slope = spread(steps_[at_].a, steps_[at_].p0);
      p.act = Act::kPrelu;
      ++at_;
    } else if (is_shift(0) && is(StepKind::kPrelu, 1) && is_shift(2)) {
      p.before = spread(steps_[at_].b, steps_[at_].p1);
      p.slope = spread(steps_[at_ + 1].a, steps_[at_ + 1].p0);
      p.after = spread(steps_[at_ + 2].b, steps_[at_ + 2].p1);
      p.act = Act::kShifted;
      at_ += 3;
    }
    if (is(StepKind::kStoreBits) && is(StepKind::kQuantizeI16, 1) && plain_bits(steps_[at_])) {  // of x as it is before it is rounded
      p.threshold = spread(steps_[at_].a, steps_[at_].p0);
      p.bits = static_cast<uint8_t>(at_++);
    }
    if (is(StepKind::kQuantizeI16)) {
      p.end = End::kShorts;
      p.quantum = steps_[at_++].p0;
    }
    return true;
  }

  bool fixed() {
    ChainPlan& p = *plan_;
    if (is(StepKind::kFixed)) {
      p.shift = steps_[at_].n & 0xFF;
      p.doublings = steps_[at_].n >> 8;
      p.factor = steps_[at_].a16;
      p.offset = steps_[at_].b16;
      p.head = Head::kAffine;
      ++at_;
    }
    if (is(StepKind::kAddI16)) p.add = static_cast<uint8_t>(at_++);
    if (is(StepKind::kPreluI16) && steps_[at_].n == 0) {
      p.slope16 = steps_[at_].a16;
      p.act = Act::kPrelu;
      ++at_;
    } else if (is(StepKind::kBiasI16) && is(StepKind::kPreluI16, 1) && steps_[at_ + 1].n == 0 && is(StepKind::kBiasI16, 2)) {
      p.before16 = steps_[at_].b16;
      p.slope16 = steps_[at_ + 1].a16;
      p.after16 = steps_[at_ + 2].b16;
      p.act = Act::kShifted;
      at_ += 3;
    }
    return true;
  }

  bool stores() {
    ChainPlan& p = *plan_;
    if (!p.fixed && p.end == End::kPlain && is(StepKind::kStoreU8)) {
      p.end = End::kBytes;
      p.quantum = steps_[at_].p0;
      p.store = static_cast<uint8_t>(at_++);
      return strides_agree();
    }
    const bool shorts = p.fixed || p.end == End::kShorts;
    for (; at_ < n_; ++at_) {
      const Step& s = steps_[at_];
      if (s.kind == (shorts ? StepKind::kStoreI16 : StepKind::kStore) && p.store == ChainPlan::kNoStep) {
        p.store = static_cast<uint8_t>(at_);
      } else if (s.kind == (shorts ? StepKind::kStoreBitsI16 : StepKind::kStoreBits) && p.bits == ChainPlan::kNoStep && plain_bits(s)) {
        if (shorts)
          p.threshold16 = s.a16;
        else
          p.threshold = spread(s.a, s.p0);
        p.bits = static_cast<uint8_t>(at_);
      } else {
        return false;
      }
    }
    return strides_agree();
  }

  // What is read and what is stored move by one offset.
  bool strides_agree() const {
    const ChainPlan& p = *plan_;
    if (p.add != ChainPlan::kNoStep && p.store != ChainPlan::kNoStep && steps_[p.add].value.pixel_stride != steps_[p.store].value.pixel_stride) return false;
    return true;
  }

  const Step* steps_;
  size_t n_, at_ = 0;
  uint32_t channels_;
  size_t width_;
  std::unique_ptr<ChainPlan> plan_ = std::make_unique<ChainPlan>();
};

}  // namespace

std::unique_ptr<const ChainPlan> plan_chain(const Step* steps, size_t n, uint32_t channels) { return Planner(steps, n, channels).run(); }

}  // namespace bitwright
