// STORE_LEVELS for the SIMD epilogues: a part of epilogue_simd.h.
//
// The level stays a float: rint by adding and subtracting 2^23 (levels are at most 255), then from the highest plane down a plane's bit is
// level >= 2^plane, which is then taken off.

template <int P, int W, bool kFull>
BITWRIGHT_NOINLINE void store_levels_step(const Simd::F (&x)[P][W * Simd::kVectors], const Step& s, const Place& b, const Simd::Tail& tail) {
  using F = Simd::F;
  constexpr int V = Simd::kVectors;
  const F zero = Simd::set(0.0f), top = Simd::set(static_cast<float>((1u << s.n) - 1u)), magic = Simd::set(8388608.0f), back = Simd::set(-8388608.0f);
  const uint32_t real = kFull ? 0xffffffffu : (1u << b.valid) - 1u;
  const size_t plane_words = s.value.pixel_stride / s.n;
  const bool plain = bits_are_plain(s.value);
  for (int w = 0; w < W; ++w) {
    F a[V], c[V];
    BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
      a[v] = s.a != nullptr ? Simd::load<kFull>(s.a + b.c0, tail, w * V + v) : Simd::set(s.p0);
      c[v] = s.b != nullptr ? Simd::load<kFull>(s.b + b.c0, tail, w * V + v) : Simd::set(s.p1);
    }
    uint32_t* to = first_pixel<uint32_t>(s.value, b, 0);
    for (int i = 0; i < P; ++i, to += s.value.pixel_stride) {
      F level[V];
      BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) {
        const F scaled = Simd::add(Simd::mul(x[i][w * V + v], a[v]), c[v]);
        const F cut = Simd::above(Simd::select_ge0(scaled, zero), top);
        level[v] = Simd::add(Simd::add(cut, magic), back);
      }
      for (uint32_t plane = s.n; plane-- > 0;) {
        const F weight = Simd::set(-static_cast<float>(1u << plane));
        F rest[V], zeros[V];
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) rest[v] = Simd::add(level[v], weight), zeros[v] = zero;
        const uint32_t bits = Simd::ge32(rest, zeros) & real;
        BITWRIGHT_UNROLL for (int v = 0; v < V; ++v) level[v] = Simd::select_ge0(rest[v], level[v]);
        uint32_t* pixel = to + plane * plane_words;
        const uint32_t channel = b.c0 + 32 * static_cast<uint32_t>(w);
        if (plain)
          pixel[channel / 32] = bits;
        else
          store_grouped_bits(pixel, s.value, channel, W == 1 ? b.valid : 32, bits);
      }
    }
  }
}
