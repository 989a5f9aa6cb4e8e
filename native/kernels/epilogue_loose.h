// Chains of a known shape (chain.h) of which few layers of a network have one, so that a loop of its own for each would not pay: behind the sums of an
// int8 convolution, and those that end in int16 or bytes. One loop for all of them: operands in registers, what a chain lacks is skipped by branches that
// fall alike for every pixel. Included behind epilogue_fixed.h by one translation unit per instruction set.

// Sum: int32_t (plus an origin), uint16_t (an origin minus slope times it) or float.
template <class Sum, int W, bool kFull>
void loose_column(const Source& source, const EpilogueTile& t, const Step* steps, uint32_t i, uint32_t end, uint32_t j) {
  constexpr int V = Lanes<W>::kVectors;
  const ChainPlan& plan = *steps[0].plan;
  const uint32_t valid = kFull ? 32 : t.channels - j, c = t.channel0 + j;
  const Simd::Tail tail(valid), all(32);
  const uint32_t real = kFull ? 0xffffffffu : (1u << valid) - 1u;
  const auto operand = [&](const float* p) { return p != nullptr ? lanes_at<W, true>(p + c, all) : Lanes<W>{}; };
  const Lanes<W> scale = operand(plan.scale), a = operand(plan.a), b = operand(plan.b), before = operand(plan.before), slope = operand(plan.slope),
                 after = operand(plan.after), threshold = operand(plan.threshold);
  const Shorts<W> threshold16 = plan.threshold16 != nullptr ? shorts_at<true, W>(plan.threshold16 + c, all) : Shorts<W>{};
  const bool shorts = plan.end == End::kShorts;
  const Simd::F factor = Simd::set(plan.quantum);
  uint32_t flips[W];
  flips_of<W, kFull>(steps, c, flips);

  const float* add = nullptr;
  const int16_t* add16 = nullptr;
  Simd::F add_scale = Simd::set(0);
  void* store = nullptr;
  size_t value_stride = 0, bits_stride = 0, at = 0;
  uint32_t* bits = nullptr;
  int32_t zero = 0;
  if (plan.add != ChainPlan::kNoStep) {
    const Step& s = steps[plan.add];
    value_stride = s.value.pixel_stride;
    add_scale = Simd::set(s.value_scale);
    if (s.value_scale != 0)
      add16 = value_pixel<const int16_t>(s.value, t.where, i) + c;
    else
      add = value_pixel<const float>(s.value, t.where, i) + c;
  }
  if (plan.store != ChainPlan::kNoStep) {
    const Step& s = steps[plan.store];
    value_stride = s.value.pixel_stride;
    zero = s.value.zero;
    switch (plan.end) {
      case End::kShorts: store = value_pixel<int16_t>(s.value, t.where, i) + c; break;
      case End::kBytes: store = value_pixel<uint8_t>(s.value, t.where, i) + c; break;
      default: store = value_pixel<float>(s.value, t.where, i) + c; break;
    }
  }
  if (plan.bits != ChainPlan::kNoStep) {
    bits = value_pixel<uint32_t>(steps[plan.bits].value, t.where, i) + c / 32;
    bits_stride = steps[plan.bits].value.pixel_stride;
  }
  const Simd::F low = Simd::set(static_cast<float>(-zero)), high = Simd::set(static_cast<float>(255 - zero));
  const Simd::I offset = Simd::set_i32(zero);
  const Simd::F by = Simd::set(static_cast<float>(source.slope));
  const Sum* row = static_cast<const Sum*>(source.data) + static_cast<size_t>(i) * t.stride + j;
  for (; i < end; ++i, row += t.stride) {
    Lanes<W> x;
    if constexpr (std::is_same_v<Sum, float>) {
      x = lanes_at<W, kFull>(row, tail);
    } else {
      const int32_t* origin = source.origin[i] + c;
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
        const Simd::I o = Simd::load_i32<kFull>(origin, tail, v);
        if constexpr (std::is_same_v<Sum, int32_t>)
          x.f[v] = Simd::to_float(Simd::add_i32(Simd::load_i32<kFull>(row, tail, v), o));
        else
          x.f[v] = Simd::minus(Simd::to_float(Simd::load_count<kFull>(row, tail, v)), by, Simd::to_float(o));
      }
    }
    if (plan.head == Head::kScaleAffine) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::mul(x.f[v], scale.f[v]);
    if (plan.head != Head::kNone) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::add(Simd::mul(x.f[v], a.f[v]), b.f[v]);
    if (add != nullptr) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::add(x.f[v], Simd::load<kFull>(add + at, tail, v));
    if (add16 != nullptr)
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v)
        x.f[v] = Simd::add(x.f[v], Simd::mul(Simd::to_float(Simd::load_short<kFull>(add16 + at, tail, v)), add_scale));
    if (plan.act == Act::kShifted) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::add(x.f[v], before.f[v]);
    if (plan.act != Act::kNone) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::prelu(x.f[v], slope.f[v]);
    if (plan.act == Act::kShifted) BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) x.f[v] = Simd::add(x.f[v], after.f[v]);

    uint32_t words[W];
    if (shorts) {
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) {
        Simd::S q[Simd::kShortVectors];
        Simd::quantize(&x.f[w * Simd::kVectors], factor, q);
        if (store != nullptr)
          BITWRIGHT_UNROLL for (int v = 0; v < Simd::kShortVectors; ++v)
            Simd::store_s<kFull>(static_cast<int16_t*>(store) + at + 32 * w, tail, v, q[v]);
        if (plan.threshold != nullptr)
          words[w] = Simd::ge32(&x.f[w * Simd::kVectors], &threshold.f[w * Simd::kVectors]);
        else if (bits != nullptr)
          words[w] = Simd::ge32_s(q, &threshold16.s[w * Simd::kShortVectors]);
      }
    } else {
      if (plan.end == End::kBytes)
        BITWRIGHT_UNROLL for (int w = 0; w < W; ++w)
          Simd::store_u8<kFull>(static_cast<uint8_t*>(store) + at + 32 * w, tail, &x.f[w * Simd::kVectors], factor, low, high, offset);
      else if (store != nullptr)
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) Simd::store<kFull>(static_cast<float*>(store) + at, tail, v, x.f[v]);
      if (bits != nullptr)
        BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) words[w] = Simd::ge32(&x.f[w * Simd::kVectors], &threshold.f[w * Simd::kVectors]);
    }
    if (bits != nullptr) {
      BITWRIGHT_UNROLL for (int w = 0; w < W; ++w) bits[w] = (words[w] ^ flips[w]) & real;
      bits += bits_stride;
    }
    at += value_stride;
  }
}

template <class Sum>
void loose(const Source& source, const EpilogueTile& t, const Step* steps) {
  static constexpr Columns columns = {loose_column<Sum, Simd::kWords, true>, loose_column<Sum, 1, true>, loose_column<Sum, 1, false>};
  for_columns(t, columns, source, steps);
}
