// Where an element or a bit of a value lies: shared by all epilogues. Everything is static: translation units of different instruction sets
// include it, and a shared inline function could be the wrong one's copy.
#pragma once

#include "isa.h"
#include "kernel_steps.h"

namespace bitwright {

// First channel of pixel i of a tile.
template <class T>
static BITWRIGHT_INLINE T* value_pixel(const ValueRef& v, const TilePixels& where, uint32_t i) {
  return static_cast<T*>(v.data) + where.n[i] * v.sample_stride + where.p[i] * v.pixel_stride;
}

// The gate of MUL with n = 1: one pixel a sample.
static BITWRIGHT_INLINE const float* value_gate(const ValueRef& v, const TilePixels& where, uint32_t i) {
  return static_cast<const float*>(v.data) + where.n[i] * v.sample_stride;
}

// True if 32 channels from a multiple of 32 are exactly one word of the value.
static BITWRIGHT_INLINE bool bits_are_plain(const ValueRef& v) { return v.groups <= 1 || v.group_channels % 32 == 0; }

// Stores the bits of channels [c, c + count), count <= 32, where groups begin inside words. The channels of a pixel must come in increasing order
// from 0: the first bit of a word clears the rest of it.
static BITWRIGHT_NOINLINE void store_grouped_bits(uint32_t* pixel, const ValueRef& v, uint32_t c, uint32_t count, uint32_t bits) {
  const uint32_t group_words = (v.group_channels + 31) / 32;
  while (count > 0) {
    const uint32_t in_group = c % v.group_channels;
    const uint32_t shift = in_group % 32;
    uint32_t n = v.group_channels - in_group;
    if (n > 32 - shift) n = 32 - shift;
    if (n > count) n = count;
    uint32_t* word = pixel + static_cast<size_t>(c / v.group_channels) * group_words + in_group / 32;
    const uint32_t part = (n == 32 ? bits : bits & ((1u << n) - 1u)) << shift;
    *word = shift == 0 ? part : *word | part;
    bits = n == 32 ? 0 : bits >> n;
    c += n;
    count -= n;
  }
}

// How many pixels from i on, at most `most`, lie one after the other in one sample: one address serves them all.
static BITWRIGHT_INLINE uint32_t run_of_pixels(const TilePixels& where, uint32_t i, uint32_t most) {
  uint32_t length = 1;
  while (length < most && i + length < where.pixels && where.p[i + length] == where.p[i] + length && where.n[i + length] == where.n[i]) ++length;
  return length;
}

// Stores one word of 32 channels (c a multiple of 32) with `count` real ones; bits above them must be 0.
static BITWRIGHT_INLINE void store_bits(uint32_t* pixel, const ValueRef& v, uint32_t c, uint32_t count, uint32_t bits) {
  if (bits_are_plain(v))
    pixel[c / 32] = bits;
  else
    store_grouped_bits(pixel, v, c, count, bits);
}

}  // namespace bitwright
