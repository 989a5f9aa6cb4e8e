// The wrappers of kernels/platform.cuh on the host: what each instruction does to the registers of all lanes, with the
// fragment layouts of the PTX ISA ("Matrix fragments for mma.m16n8k256" and its siblings), written from its formulas
// element by element, not from how the kernels use them.
#pragma once
#include "machine.hpp"

#define BW_DEVICE inline
#define BW_RESTRICT
#define BW_UNROLL
#define BW_ROLLED

namespace bw {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;
struct alignas(16) Quad {
  u32 x, y, z, w;
};

inline emu::Machine& m() { return *emu::machine(); }

BW_DEVICE int thread_id() { return m().block.tid; }
BW_DEVICE int block_x() { return m().at[0]; }
BW_DEVICE int block_y() { return m().at[1]; }
BW_DEVICE int block_z() { return m().at[2]; }
BW_DEVICE int grid_x() { return m().grid[0]; }
BW_DEVICE int grid_y() { return m().grid[1]; }
BW_DEVICE int grid_z() { return m().grid[2]; }
BW_DEVICE char* shared() { return m().shared; }
BW_DEVICE void sync_block() { m().barrier(); }

// ---- memory
template <class T>
BW_DEVICE T load(const T* p) {
  m().check_global(p, sizeof(T), false);
  ++m().stats.global_loads;
  return *p;
}
template <class T>
BW_DEVICE void store(T* p, T value) {
  m().check_global(p, sizeof(T), true);
  ++m().stats.global_stores;
  *p = value;
}
BW_DEVICE void atomic_add(int* p, int value) {
  m().check_global(p, 4, true);
  *p += value;
}
template <class T>
BW_DEVICE T load_shared(const T* p) {
  m().note_read(p, sizeof(T));
  return *p;
}
template <class T>
BW_DEVICE void store_shared(T* p, T value) {
  m().note_write(p, sizeof(T));
  *p = value;
}
BW_DEVICE void stop() { m().block.fail_thread("the kernel refuses its input"); }
BW_DEVICE void copy16(void* to, const void* from, bool valid) { m().copy16(to, valid ? from : nullptr); }
BW_DEVICE void copy_commit() { m().commit(); }
template <int N>
BW_DEVICE void copy_wait() {
  m().wait(N);
}

// ---- numbers
BW_DEVICE int popc(u32 x) { return __builtin_popcount(x); }
BW_DEVICE int dot4(u32 a, u32 b, int c) {
  for (int i = 0; i < 4; ++i) c += int(std::int8_t(a >> (8 * i))) * int(std::int8_t(b >> (8 * i)));
  return c;
}
BW_DEVICE int dot4_unsigned(u32 a, u32 b, int c) {
  for (int i = 0; i < 4; ++i) c += int(u8(a >> (8 * i))) * int(std::int8_t(b >> (8 * i)));
  return c;
}
BW_DEVICE float mul(float a, float b) { volatile float r = a * b; return r; }  // volatile: no contraction to fma
BW_DEVICE float add(float a, float b) { volatile float r = a + b; return r; }
BW_DEVICE float as_float(int x) { return float(x); }
BW_DEVICE float as_float(float x) { return x; }
BW_DEVICE int round_even(float x) { return int(std::nearbyint(x)); }
BW_DEVICE u32 bits_of(float x) { u32 r; std::memcpy(&r, &x, 4); return r; }
BW_DEVICE float of_bits(u32 x) { float r; std::memcpy(&r, &x, 4); return r; }
BW_DEVICE float half_to_float(u16 h) {
  u32 sign = u32(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent == 31) return of_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) return (sign ? -1.f : 1.f) * std::ldexp(float(fraction), -24);
  return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}
BW_DEVICE u16 float_to_half(float x) {  // round to nearest even
  u32 b = bits_of(x), sign = (b >> 16) & 0x8000, magnitude = b & 0x7fffffff;
  if (magnitude > 0x7f800000) return u16(0x7fff);
  if (magnitude >= 0x477ff000) return u16(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    double scaled = std::ldexp(double(of_bits(magnitude)), 24);
    return u16(sign | u32(std::nearbyint(scaled)));
  }
  u32 rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return u16(sign | ((rounded - (112u << 23)) >> 13));
}
BW_DEVICE u16 float_to_bfloat(float x) {
  u32 b = bits_of(x);
  if ((b & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return u16((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}

// ---- warps
template <class Act>
BW_DEVICE void warp_do(const char* what, void* operand, Act act) {
  auto& b = m().block;
  b.meet(b.warp(), b.lane(), what, operand, act);
}
BW_DEVICE u32 shuffle_xor(u32 value, int mask) {
  struct Op { u32 in, out; int mask; } op{value, 0, mask};
  warp_do("shfl.xor", &op, [](auto& all) {
    for (int i = 0; i < int(all.size()); ++i) static_cast<Op*>(all[i])->out = static_cast<Op*>(all[i ^ static_cast<Op*>(all[i])->mask])->in;
  });
  return op.out;
}
BW_DEVICE u32 vote(bool bit) {
  struct Op { bool in; u32 out; } op{bit, 0};
  warp_do("vote.ballot", &op, [](auto& all) {
    u32 word = 0;
    for (int i = 0; i < int(all.size()); ++i) word |= u32(static_cast<Op*>(all[i])->in) << i;
    for (auto* o : all) static_cast<Op*>(o)->out = word;
  });
  return op.out;
}

// ldmatrix.x4: lane 8 i + r gives the address of row r of matrix i; lane l gets word l % 4 of row l / 4 of each.
BW_DEVICE void load_matrix4(u32 (&out)[4], const void* row) {
  struct Op { const char* row; u32* out; } op{static_cast<const char*>(row), out};
  m().note_read(row, 16);
  warp_do("ldmatrix", &op, [](auto& all) {
    auto& stats = m().stats;
    ++stats.ldmatrix;
    for (int i = 0; i < 4; ++i) {
      int used[8] = {};
      for (int r = 0; r < 8; ++r) {
        const char* at = static_cast<Op*>(all[8 * i + r])->row;
        stats.bank_conflicts += used[((at - m().shared) / 16) % 8]++ > 0;
        for (int w = 0; w < 4; ++w) std::memcpy(&static_cast<Op*>(all[4 * r + w])->out[i], at + 4 * w, 4);
      }
    }
  });
}

// ---- tensor cores. One lane's registers; element (row, column) -> register and bit by the formulas of the PTX ISA.
struct Mma { const u32* a; const u32* b; void* c; };
template <class T>
T* c_of(std::vector<void*>& all, int row, int column) {  // 16 x 8, 32-bit accumulators
  int lane = (row % 8) * 4 + column / 2;
  return static_cast<T*>(static_cast<Mma*>(all[lane])->c) + (row / 8) * 2 + column % 2;
}
inline u32 a_of(std::vector<void*>& all, int row, int k, int bits) {  // 16 x (256 / bits), K-major
  int word = k * bits / 32, lane = (row % 8) * 4 + word % 4;
  u32 reg = static_cast<Mma*>(all[lane])->a[row / 8 + 2 * (word / 4)];
  return (reg >> (k * bits % 32)) & (bits == 32 ? ~0u : (1u << bits) - 1);
}
inline u32 b_of(std::vector<void*>& all, int column, int k, int bits) {
  int word = k * bits / 32, lane = column * 4 + word % 4;
  u32 reg = static_cast<Mma*>(all[lane])->b[word / 4];
  return (reg >> (k * bits % 32)) & ((1u << bits) - 1);
}
template <class Sum>
BW_DEVICE void mma(const char* what, const u32* a, const u32* b, void* c, Sum sum) {
  Mma op{a, b, c};
  warp_do(what, &op, [&](auto& all) {
    ++m().stats.mma;
    for (int r = 0; r < 16; ++r)
      for (int n = 0; n < 8; ++n) sum(all, r, n);
  });
}
BW_DEVICE void mma_and(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  mma("mma.m16n8k256.and", a, b, c, [](auto& all, int r, int n) {
    for (int k = 0; k < 256; k += 32) *c_of<int>(all, r, n) += popc(a_of(all, r, k / 32, 32) & static_cast<Mma*>(all[n * 4 + k / 32 % 4])->b[k / 128]);
  });
}
BW_DEVICE void mma_xor(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  mma("mma.m16n8k256.xor", a, b, c, [](auto& all, int r, int n) {
    for (int k = 0; k < 256; ++k) *c_of<int>(all, r, n) += a_of(all, r, k, 1) ^ b_of(all, n, k, 1);
  });
}
// m8n8k128 (sm_75): 8 x 128 bits; one register a side, accumulators (row lane / 4, columns 2 (lane % 4) + {0, 1}).
BW_DEVICE void mma8_xor(int& c0, int& c1, u32 a, u32 b) {
  struct Op { u32 a, b; int *c0, *c1; } op{a, b, &c0, &c1};
  warp_do("mma.m8n8k128.xor", &op, [](auto& all) {
    ++m().stats.mma;
    for (int r = 0; r < 8; ++r)
      for (int n = 0; n < 8; ++n) {
        auto* to = static_cast<Op*>(all[r * 4 + n / 2]);
        for (int w = 0; w < 4; ++w) *(n % 2 ? to->c1 : to->c0) += popc(static_cast<Op*>(all[r * 4 + w])->a ^ static_cast<Op*>(all[n * 4 + w])->b);
      }
  });
}
inline int as_int8(u32 byte, bool is_signed) { return is_signed ? int(std::int8_t(byte)) : int(byte); }
template <bool kSigned>
BW_DEVICE void mma_s8(int (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {  // a signed or unsigned, b signed
  mma("mma.m16n8k32.s8", a, b, c, [](auto& all, int r, int n) {
    for (int k = 0; k < 32; ++k) *c_of<int>(all, r, n) += as_int8(a_of(all, r, k, 8), kSigned) * as_int8(b_of(all, n, k, 8), true);
  });
}
BW_DEVICE void mma_f16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  mma("mma.m16n8k16.f16", a, b, c, [](auto& all, int r, int n) {
    double sum = *c_of<float>(all, r, n);  // the order of the hardware's sums is not specified
    for (int k = 0; k < 16; ++k) sum += double(half_to_float(u16(a_of(all, r, k, 16)))) * half_to_float(u16(b_of(all, n, k, 16)));
    *c_of<float>(all, r, n) = float(sum);
  });
}
BW_DEVICE void mma_bf16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  mma("mma.m16n8k16.bf16", a, b, c, [](auto& all, int r, int n) {
    double sum = *c_of<float>(all, r, n);
    for (int k = 0; k < 16; ++k) sum += double(of_bits(u32(a_of(all, r, k, 16)) << 16)) * of_bits(u32(b_of(all, n, k, 16)) << 16);
    *c_of<float>(all, r, n) = float(sum);
  });
}

}  // namespace bw
