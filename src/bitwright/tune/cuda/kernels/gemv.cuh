// Products with few rows: weights are read once, straight to registers, by whole warps along K; no shared-memory tiles.
//
// Costs: memory. Each lane has a 16-byte chunk of weights and of every row of activations in flight; activations come
// from L1 and L2. BW_A_BITS 1: popcounts of bit planes; 8: dp4a with weights spread to +-1 bytes; 16: halves (BW_BFLOAT: bfloats)
// whose sign bit is turned where the weight is -1, added in float32.
//
// A block makes 32 columns (one word of packed outputs) of up to BW_TM rows; its warps share the columns. Compiled for
// BW_TM, BW_THREADS, BW_A_BITS, BW_XOR, BW_UNSIGNED (8-bit activations), BW_PLANES, BW_SIGNED, BW_OUT.
#include "epilogue.cuh"
#include "spread.cuh"

namespace bw {

constexpr int kWarps = BW_THREADS / 32, kColumns = 32 / kWarps;
#if BW_A_BITS == 16
using Sum = float;
BW_DEVICE float reduce(float x) {
  BW_UNROLL for (int mask = 16; mask > 0; mask /= 2) x = add(x, of_bits(shuffle_xor(bits_of(x), mask)));
  return x;
}
#else
using Sum = int;
BW_DEVICE int reduce(int x) {
  BW_UNROLL for (int mask = 16; mask > 0; mask /= 2) x += int(shuffle_xor(u32(x), mask));
  return x;
}
#endif

#if BW_A_BITS == 1
BW_DEVICE int joined(u32 a, u32 w) { return popc(BW_XOR ? a ^ w : a & w); }

// 128 values of one row by a chunk of weights; `row` points to the row's first chunk.
BW_DEVICE void accumulate(const Product& p, Sum& sum, const Quad* row, const Quad& w, int chunk) {
  BW_UNROLL for (int plane = 0; plane < BW_PLANES; ++plane) {
    Quad a = load(row + plane * p.a_plane + chunk);
    int count = joined(a.x, w.x) + joined(a.y, w.y) + joined(a.z, w.z) + joined(a.w, w.w);
    sum += BW_SIGNED && plane == BW_PLANES - 1 ? -(count << plane) : count << plane;
  }
}
#else
BW_DEVICE void add_word(Sum& sum, const Quad& a, u32 bits, int first) {
#if BW_A_BITS == 8
  BW_UNROLL for (int i = 0; i < 4; ++i) {
    u32 bytes = (&a.x)[i], signs = sign_bytes(bits >> (first + 4 * i));
    sum = BW_UNSIGNED ? dot4_unsigned(bytes, signs, sum) : dot4(bytes, signs, sum);
  }
#else
  BW_UNROLL for (int i = 0; i < 4; ++i) {
    u32 two = (&a.x)[i] ^ sign_halves(bits >> (first + 2 * i));
#if BW_BFLOAT
    sum = add(sum, of_bits(two << 16));
    sum = add(sum, of_bits(two & 0xffff0000u));
#else
    sum = add(sum, half_to_float(u16(two)));
    sum = add(sum, half_to_float(u16(two >> 16)));
#endif
  }
#endif
}

BW_DEVICE void accumulate(const Product& p, Sum& sum, const Quad* row, const Quad& w, int chunk) {
  constexpr int kValues = 128 / BW_A_BITS;  // of a chunk of activations
  BW_UNROLL for (int part = 0; part < BW_A_BITS; ++part) {
    int at = chunk * BW_A_BITS + part;
    if (at < p.a_chunks) add_word(sum, load(row + at), (&w.x)[part * kValues / 32], part * kValues % 32);
  }
}
#endif

}  // namespace bw

BW_KERNEL(gemv, Product) {
  using namespace bw;
  int lane = thread_id() % 32, warp = thread_id() / 32, column0 = block_x() * 32, row0 = block_y() * BW_TM;
  Sum* sums = reinterpret_cast<Sum*>(shared());  // [BW_TM][32]
  for (int c = 0; c < kColumns; ++c) {
    int column = column0 + warp * kColumns + c;
    Sum acc[BW_TM];
    BW_UNROLL for (int i = 0; i < BW_TM; ++i) acc[i] = 0;
    if (column < p.n) {
      const Quad* w_row = static_cast<const Quad*>(p.w) + i64(column) * p.ldw;
      for (int chunk = lane; chunk < p.k_chunks; chunk += 32) {
        Quad w = load(w_row + chunk);
        BW_UNROLL for (int i = 0; i < BW_TM; ++i)
          if (row0 + i < p.m) accumulate(p, acc[i], static_cast<const Quad*>(p.a) + i64(row0 + i) * p.lda, w, chunk);
      }
    }
    BW_UNROLL for (int i = 0; i < BW_TM; ++i) {
      Sum all = reduce(acc[i]);
      if (lane == 0) store_shared(sums + 32 * i + warp * kColumns + c, all);
    }
  }
  RowTerm* terms = reinterpret_cast<RowTerm*>(shared() + 32 * BW_TM * sizeof(Sum));
  row_terms(p, terms, row0, BW_TM);
  sync_block();
  for (int i = warp; i < BW_TM; i += kWarps) {
    Sum one[1] = {load_shared(sums + 32 * i + lane)};
    write_columns<1>(p, one, terms, row0, i, column0);
  }
  end_epilogue(p, block_x(), row0, BW_TM, column0 + 32);
}
