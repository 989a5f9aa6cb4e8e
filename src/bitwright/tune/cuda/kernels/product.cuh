// The arguments of every product kernel. `arguments.py` has the same fields in the same order.
//
// D = acc_mul * acc + a_mul * (sum of the row's bits) + w_terms[class of the row][column], exact in int32; acc is the
// weighted sum of popcounts of the operands' planes. Zero padding of +-1 maps makes classes of rows: pixels that miss the
// same taps (docs/develop/gpu.md). Rows of bits are padded with zeros to chunks of 128 bits.
#pragma once
#include "platform.cuh"

struct Product {
  const void* a;           // activations: planes x rows x lda chunks; conv2d: planes x images x H x W x pixel chunks
  const void* w;           // weights: n x ldw chunks
  void* out;               // m x ldo of s32, f32, f16, bf16, or of 32-bit words of bits
  int* partial;            // split K: m x n sums of popcounts, zeroed by the caller
  const int* a_sums;       // sum of a row's bits, weighted by plane; conv2d: of a pixel
  const int* w_terms;      // classes x n
  const int* row_class;    // conv2d with zero padding: class of each output pixel of an image, else null
  const float* scale;      // n, or null: 1
  const float* bias;       // n, or null: 0
  const int* thresholds;   // n, for bits: D >= threshold
  const bw::u32* flips;    // n bits that turn the comparison's result around, or null
  int* out_sums;           // for bits: adds the number of ones of each row; null: nobody asks
  const void* pad;         // conv2d: a pixel of padding bits, or null: zeros
  bw::i64 a_plane;         // chunks from one plane of a to the next
  int m, n, k_chunks;      // rows, columns, chunks (128 bits of K) of a row of w
  int a_chunks;            // 16-byte chunks of a row of a: k_chunks for bits
  int lda, ldw, ldo;       // chunks, chunks, elements
  int a_mul, acc_mul;
  int swizzle;             // columns of blocks that are walked together
  int h, w_in, pixel_chunks, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, out_h, out_w;
  int pad_sum;             // conv2d: sum of the padding pixel's bits
  int groups, group_channels, fill;  // conv2d; fill: what padding is worth, as `direct` takes it
  int d, kernel_d, stride_d, pad_d, dilation_d, out_d;
};
