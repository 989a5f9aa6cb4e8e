// Minimal filtering (Winograd 1980; Toom-Cook): M outputs of a filter of R taps by M + R - 1 products instead of M * R.
//
// With points a_0 .. a_{n-2} and infinity, n = M + R - 1, and N_j = product over l != j of (a_j - a_l):
//   y = output * ((weight * w) . (input * x))     one product a point
//   output[i][j] = a_j^i                    and 1 for i = M - 1 at infinity, else 0
//   weight[j][t] = a_j^t / N_j              and 1 for t = R - 1 at infinity, else 0
//   input[j]     = coefficients of the product over l != j of (z - a_l), at infinity of the product over all l
// `output` depends on the point alone, not on R. So where a filter is cut into parts - the taps of one phase of a stride, or stretches of a long
// row -, their products at one point are summed before one joint output transform; a part of fewer taps does without the last of the finite points.
//
// All finite points are small powers of two or 0, so that input and output have exact coefficients and the error stays near that of a plain sum.
#pragma once

#include <cstdint>

namespace bitwright {

// In the order in which they come in. Of the sets of six that we tried, this one and its prefixes had the least error (7x7 and 3x3 filters).
inline constexpr double kMinimalPoints[] = {0, 1, -1, 0.5, -2, 2};
inline constexpr uint32_t kMinimalTaps = 4;                     // of a part, at most
inline constexpr uint32_t kMinimalRows = 2, kMinimalColumns = 4;  // output pixels of a tile

template <int kOutputs, int kTaps>
struct MinimalFilter {
  static constexpr int kPoints = kOutputs + kTaps - 1;
  double output[kOutputs][kPoints] = {};
  double weight[kPoints][kTaps] = {};
  double input[kPoints][kPoints] = {};

  constexpr MinimalFilter() {
    for (int j = 0; j < kPoints; ++j) {
      const bool infinity = j == kPoints - 1;
      double norm = 1;
      input[j][0] = 1;
      for (int l = 0, degree = 0; l < kPoints - 1; ++l) {
        if (l == j) continue;
        norm *= infinity ? 1 : kMinimalPoints[j] - kMinimalPoints[l];
        ++degree;
        for (int k = degree; k >= 0; --k) input[j][k] = (k > 0 ? input[j][k - 1] : 0) - kMinimalPoints[l] * (k < degree ? input[j][k] : 0);
      }
      double power = 1;
      for (int i = 0; i < (kOutputs > kTaps ? kOutputs : kTaps); ++i) {
        if (i < kOutputs) output[i][j] = infinity ? (i == kOutputs - 1 ? 1 : 0) : power;
        if (i < kTaps) weight[j][i] = infinity ? (i == kTaps - 1 ? 1 : 0) : power / norm;
        if (!infinity) power *= kMinimalPoints[j];
      }
    }
  }
};

template <int kOutputs, int kTaps>
inline constexpr MinimalFilter<kOutputs, kTaps> minimal_filter{};

}  // namespace bitwright
