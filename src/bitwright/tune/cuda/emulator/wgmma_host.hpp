// wgmma on the host: descriptors are decoded as the PTX ISA describes them ("Matrix descriptor", "Swizzling modes").
#pragma once
#include "instructions.hpp"

namespace bw {

BW_DEVICE u32 shared_address(const void* p) { return u32(static_cast<const char*>(p) - m().shared); }
BW_DEVICE void fence_proxy() { m().fence_proxy(); }

template <class Act>
BW_DEVICE void group_do(const char* what, void* operand, Act act) {
  auto& b = m().block;
  b.meet(b.group(), b.tid % emu::kGroup, what, operand, act);
}

struct Operand {
  u32 start, stride, width;  // bytes; width of the swizzle: 32, 64 or 128

  explicit Operand(u64 d) : start(u32(d & 0x3fff) << 4), stride(u32(d >> 32 & 0x3fff) << 4), width(u32(0)) {
    u32 type = u32(d >> 62);
    if (type == 0 || (d >> 49 & 7) != 0) m().block.fail_thread("a wgmma descriptor without swizzle, or with a base offset, is not used by these kernels");
    width = 256 >> type;
  }

  // The address of byte `k` (0 ... 31) of row `row`. The hardware permutes address bits: the number of 16-byte chunks in
  // `width` is exclusive-ored with the bits from 7 on.
  u32 at(u32 row, u32 k) const {
    u32 linear = start + row / 8 * stride + row % 8 * width + k;
    u32 mask = width / 16 - 1;
    return linear ^ ((linear >> 7 & mask) << 4);
  }
};

struct Wgmma {
  int (*acc)[4];
  u64 a, b;
};

// Four bytes of both sides, multiplied and added: bits joined by `and`, or bytes (those of a signed or not).
inline int sum_and(u32 x, u32 y) { return popc(x & y); }
inline int sum_s8(u32 x, u32 y) { return dot4(x, y, 0); }
inline int sum_u8(u32 x, u32 y) { return dot4_unsigned(x, y, 0); }

template <int NT>
void wgmma_execute(const std::vector<Wgmma>& ops, int (*product)(u32, u32)) {
  Operand a(ops[0].a), b(ops[0].b);
  const char* memory = m().shared;
  for (u32 row = 0; row < 64; ++row)
    for (u32 column = 0; column < 8 * NT; ++column) {
      int sum = 0;
      for (u32 k = 0; k < 32; k += 4) {
        u32 x, y;
        std::memcpy(&x, memory + a.at(row, k), 4);
        std::memcpy(&y, memory + b.at(column, k), 4);
        sum += product(x, y);
      }
      // D: warp row / 16, in it as the accumulators of m16n8
      u32 lane = row / 16 * 32 + row % 8 * 4 + column % 8 / 2;
      ops[lane].acc[column / 8][row / 8 % 2 * 2 + column % 2] += sum;
    }
}

BW_DEVICE void wgmma_fence() {
  group_do("wgmma.fence", nullptr, [](auto&) {});
}

template <int NT>
BW_DEVICE void wgmma_of(int (*product)(u32, u32), int (&acc)[NT][4], u64 a, u64 b) {
  Wgmma op{acc, a, b};
  int group = m().block.tid / emu::kGroup;
  group_do("wgmma", &op, [&](auto& all) {
    ++m().stats.wgmma;
    if (all.size() != 128) m().block.fail_thread("wgmma needs whole warpgroups");
    std::vector<Wgmma> ops;
    for (void* o : all) ops.push_back(*static_cast<Wgmma*>(o));
    for (auto& o : ops)
      if (o.a != ops[0].a || o.b != ops[0].b) m().block.fail_thread("the threads of a warpgroup give wgmma different descriptors");
    auto reads = [&](u64 d, u32 rows) {
      Operand operand(d);
      for (u32 row = 0; row < rows; ++row)
        for (u32 k = 0; k < 32; k += 16) m().wgmma_reads(group, operand.at(row, k), 16);
    };
    reads(ops[0].a, 64), reads(ops[0].b, 8 * NT);
    auto execute = [ops, product]() { wgmma_execute<NT>(ops, product); };
    if (m().late) m().wgmmas[group].open_late.push_back(execute);
    else execute();
  });
}

template <int NT>
BW_DEVICE void wgmma_and(int (&acc)[NT][4], u64 a, u64 b) { wgmma_of(sum_and, acc, a, b); }
template <int NT>
BW_DEVICE void wgmma_s8(int (&acc)[NT][4], u64 a, u64 b) { wgmma_of(sum_s8, acc, a, b); }
template <int NT>
BW_DEVICE void wgmma_u8(int (&acc)[NT][4], u64 a, u64 b) { wgmma_of(sum_u8, acc, a, b); }

BW_DEVICE void wgmma_commit() {
  int group = m().block.tid / emu::kGroup;
  group_do("wgmma.commit_group", nullptr, [group](auto&) {
    auto& g = m().wgmmas[group];
    g.groups.push_back(std::move(g.open)), g.open.clear();
    g.late.push_back([work = std::move(g.open_late)]() {
      for (auto& f : work) f();
    });
    g.open_late.clear();
  });
}

template <int N>
BW_DEVICE void wgmma_wait() {
  int group = m().block.tid / emu::kGroup;
  group_do("wgmma.wait_group", nullptr, [group](auto&) {
    auto& g = m().wgmmas[group];
    while (g.late.size() > N) {
      g.late.front()();
      g.late.erase(g.late.begin());
    }
    m().wgmma_retire(group, N);
  });
}

template <int NT>
BW_DEVICE void wgmma_touch(int (&)[NT][4]) {}

}  // namespace bw
