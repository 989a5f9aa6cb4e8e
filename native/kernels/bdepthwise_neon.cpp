// Depthwise binary convolution for AArch64: a block is two registers, so that its planes and the products of two pairs of taps stay in registers. A full
// adder is two eor and one bsl (where two bits differ the carry is the third), a bit of the comparison an eor and a bsl.
// Cost of 256 channels with 9 taps and a threshold: 18 eor, 36 + 11 operations in the planes, 22 of the comparison.
#include "isa.h"

#include "entries.h"
#include "kernel_depthwise.h"

#if BITWRIGHT_NEON

#include <arm_neon.h>

namespace bitwright {
namespace {

struct Simd {
  static constexpr uint32_t kBlock = 8;
  using Q = uint32x4_t;
  struct V {
    Q low, high;
  };
  struct Part {
    uint32_t n;
    BITWRIGHT_INLINE explicit Part(uint32_t words) : n(words) {}
  };
  static BITWRIGHT_INLINE V zero() { return {vdupq_n_u32(0), vdupq_n_u32(0)}; }
  static BITWRIGHT_INLINE V load(const uint32_t* p) { return {vld1q_u32(p), vld1q_u32(p + 4)}; }
  // The first n words of four, 1..4.
  static BITWRIGHT_INLINE Q load_some(const uint32_t* p, uint32_t n) {
    if (n == 4) return vld1q_u32(p);
    Q x = vld1q_lane_u32(p, vdupq_n_u32(0), 0);
    if (n > 1) x = vld1q_lane_u32(p + 1, x, 1);
    if (n > 2) x = vld1q_lane_u32(p + 2, x, 2);
    return x;
  }
  static BITWRIGHT_INLINE void store_some(uint32_t* p, uint32_t n, Q x) {
    if (n == 4) return vst1q_u32(p, x);
    vst1q_lane_u32(p, x, 0);
    if (n > 1) vst1q_lane_u32(p + 1, x, 1);
    if (n > 2) vst1q_lane_u32(p + 2, x, 2);
  }
  static BITWRIGHT_INLINE V load(const uint32_t* p, const Part& part) {
    if (part.n == 8) return load(p);
    if (part.n <= 4) return {load_some(p, part.n), vdupq_n_u32(0)};
    return {vld1q_u32(p), load_some(p + 4, part.n - 4)};
  }
  static BITWRIGHT_INLINE void store(uint32_t* p, const Part& part, const V& v) {
    store_some(p, part.n < 4 ? part.n : 4, v.low);
    if (part.n > 4) store_some(p + 4, part.n - 4, v.high);
  }
  static BITWRIGHT_INLINE V exclusive(const V& a, const V& b) { return {veorq_u32(a.low, b.low), veorq_u32(a.high, b.high)}; }
  static BITWRIGHT_INLINE V both(const V& a, const V& b) { return {vandq_u32(a.low, b.low), vandq_u32(a.high, b.high)}; }
  static BITWRIGHT_INLINE Q full_add(Q& sum, Q a, Q b) {
    const Q differ = veorq_u32(a, b), old = sum;
    sum = veorq_u32(old, differ);
    return vbslq_u32(differ, old, a);
  }
  static BITWRIGHT_INLINE V full_add(V& sum, const V& a, const V& b) { return {full_add(sum.low, a.low, b.low), full_add(sum.high, a.high, b.high)}; }
  static BITWRIGHT_INLINE V half_add(V& sum, const V& a) {
    const V carry = both(sum, a);
    sum = exclusive(sum, a);
    return carry;
  }
  static BITWRIGHT_INLINE Q less(Q lt, Q count, Q bound) { return vbslq_u32(veorq_u32(count, bound), bound, lt); }
  static BITWRIGHT_INLINE V less(const V& lt, const V& count, const V& bound) {
    return {less(lt.low, count.low, bound.low), less(lt.high, count.high, bound.high)};
  }
  // Channel i of 16: its byte of each plane (tbl), shifted right until its bit is the lowest, then inserted above the bits of the planes below.
  static BITWRIGHT_INLINE void spread(uint16_t* to, const uint32_t (&planes)[4], bool add) {
    const int8x16_t down = vreinterpretq_s8_u64(vdupq_n_u64(0xf9fafbfcfdfeff00u));  // 0, -1, ... -7
    const uint8x16_t bytes = vreinterpretq_u8_u32(vld1q_u32(planes));
    BITWRIGHT_UNROLL for (int half = 0; half < 2; ++half) {
      const auto plane = [&](int p) {
        const auto first = static_cast<uint64_t>(4 * p + 2 * half) * 0x0101010101010101u;
        const uint8x16_t byte = vcombine_u8(vcreate_u8(first), vcreate_u8(first + 0x0101010101010101u));
        return vshlq_u8(vqtbl1q_u8(bytes, byte), down);
      };
      uint8x16_t count = plane(0);
      count = vsliq_n_u8(count, plane(1), 1);
      count = vsliq_n_u8(count, plane(2), 2);
      count = vsliq_n_u8(count, plane(3), 3);
      count = vandq_u8(count, vdupq_n_u8(15));
      uint16_t* at = to + 16 * half;
      if (add) {
        vst1q_u16(at, vaddw_u8(vld1q_u16(at), vget_low_u8(count)));
        vst1q_u16(at + 8, vaddw_high_u8(vld1q_u16(at + 8), count));
      } else {
        vst1q_u16(at, vmovl_u8(vget_low_u8(count)));
        vst1q_u16(at + 8, vmovl_high_u8(count));
      }
    }
  }
};

#include "bdepthwise.h"

const DepthwiseKernel kernel = {
    "bdepthwise_neon", "neon", "vertical counters of 256 channels by eor and bsl", kRankNeon, supports_neon, kBlock, count16, bits,
};

}  // namespace

const DepthwiseKernel* const bdepthwise_neon = &kernel;

}  // namespace bitwright

#else

namespace bitwright {
const DepthwiseKernel* const bdepthwise_neon = nullptr;
}  // namespace bitwright

#endif
