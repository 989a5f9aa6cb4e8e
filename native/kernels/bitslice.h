// Bit-sliced counting of differing bits, d = popcount(a ^ w), without a popcount instruction: the numbers that the kernel (bconv_gfni.cpp) and the
// executor's layout (sliced_layout.cpp) must agree on. In GF(2), ^ adds and & multiplies.
//
// A full adder over x_i = a_i ^ w_i has the sum (a1^a2^a3) ^ (w1^w2^w3), an a-only bit and a w-only bit, and the carry
//
//   maj(x) = maj(a)·1 ^ 1·maj(w) ^ (a1^a2)·(w2^w3) ^ (a2^a3)·(w1^w2),
//
// a bilinear form: a few feature bits of the activations times as many of the weights, which is one output bit of vgf2p8affineqb.
// A *step* chains three adders: the running xor and 6 new inputs. It leaves c1^c2^c3 (weight 2, one instruction, 8 features) and
// maj(c1, c2, c3) (weight 4, from c1, c2, c1^c2^c3); the sum is again a running xor. Those two bits of every step are counted in bit planes.
//
// Convolutions. The features of a pixel serve all taps, so a chain stays inside the channels of one tap: channel 0 starts it, `whole` steps take
// 6 channels each, `left` channels remain. These and the chain's last xor, `spare` bits of each tap, are inputs of one more chain per output
// pixel (the *joint* chain), so that no step is wasted. Its last xor is the count's bit of weight 1.
//
// Order of the steps: for each g < whole, for each tap: step g of the tap; then the joint steps; then padding (zero weights) to a multiple of 4.
#pragma once

#include <cstdint>

namespace bitwright {

struct BitSlice {
  uint32_t taps = 0;
  uint32_t channels = 0;  // bits of a tap
  uint32_t words = 0;     // 32-bit words of a tap
  uint32_t whole = 0;     // steps of a tap
  uint32_t left = 0;      // channels of a tap behind its whole steps
  uint32_t spare = 0;     // bits of a tap for the joint chain: the last xor, then the channels left
  uint32_t joint = 0;     // steps of the joint chain
  uint32_t steps = 0;     // all of them
  uint32_t planes = 0;    // bits of a count: 2^planes > taps * channels + 1

  BitSlice() = default;
  BitSlice(uint32_t tap_count, uint32_t bits_of_tap, uint32_t words_of_tap) : taps(tap_count), channels(bits_of_tap), words(words_of_tap) {
    whole = (channels - 1) / 6;
    left = channels - 1 - 6 * whole;
    spare = left + 1;
    joint = (taps * spare - 1 + 5) / 6;
    steps = (taps * whole + joint + 3) / 4 * 4;
    while ((uint64_t{1} << planes) <= uint64_t{taps} * channels + 1) ++planes;
  }

  // Feature planes: two bytes a position for each whole step (of the input map, or of one of its phases); two for each joint step and one for the
  // last xor (of the output pixels).
  uint32_t map_planes() const { return 2 * whole; }
  uint32_t joint_planes() const { return 2 * joint + 1; }
};

}  // namespace bitwright
