// Bits of weights as the numbers that other instructions multiply.
#pragma once
#include "platform.cuh"

namespace bw {

// The low 4 bits as bytes 0 or 1, the lowest bit first.
BW_DEVICE u32 bit_bytes(u32 bits) { return ((bits & 15) * 0x00204081u) & 0x01010101u; }

// The low 4 bits as bytes -1 (bit 0) or 1 (bit 1): 0xff without the bits 0xfe.
BW_DEVICE u32 sign_bytes(u32 bits) { return ~(bit_bytes(bits) * 0xfeu); }

// The sign bits of two halves for the low 2 bits: set where the bit is 0.
BW_DEVICE u32 sign_halves(u32 bits) { return (~bits & 1) << 15 | (~bits & 2) << 30; }

// The low 2 bits as halves, or bfloats, -1 or 1.
BW_DEVICE u32 halves(u32 bits) { return 0x3c003c00u ^ sign_halves(bits); }
BW_DEVICE u32 bfloats(u32 bits) { return 0x3f803f80u ^ sign_halves(bits); }

}  // namespace bw
