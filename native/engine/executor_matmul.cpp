// BMATMUL: sample by sample, B is brought into the count kernel's panels, then the product is a convolution with one tap whose weights they are.
// Along tokens B is transposed on the way, panel by panel.
#include "executor_matmul.h"

#include <algorithm>
#include <cstring>

namespace bitwright {
namespace {

int32_t ones(const uint32_t* row, size_t words) {
  int32_t n = 0;
  for (size_t k = 0; k < words; ++k) {
    uint32_t v = row[k];
    v -= (v >> 1) & 0x55555555u;
    v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
    n += static_cast<int32_t>((((v + (v >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24);
  }
  return n;
}

}  // namespace

void run_matmul(const RunContext& run, const OpInfo& info, const PreparedOp& op) {
  const ValueInfo& b = run.prepared->model->values[info.rhs];
  const View& view = run.views[info.rhs];
  const BinaryKernel& kernel = *op.binary;
  const ProductKernel& product = *op.kernels.product;
  const Cut& cut = op.cut;
  auto* origins = reinterpret_cast<int32_t*>(run.shared + op.origins_of_rhs);
  const auto bits = static_cast<int32_t>(run.prepared->model->values[info.in].group_channels());
  const auto top = static_cast<int32_t>(run.prepared->model->values[info.in].top());
  std::fill_n(origins + info.out_channels, kMaxPanel, 0);  // whole panels are read
  for (uint32_t n = 0; n < run.samples; ++n) {
    const uint32_t* from = static_cast<const uint32_t*>(view.data) + n * view.sample_stride;
    run.pool->run(cut.panels, [&](size_t panel, unsigned) {
      const size_t group = panel / cut.panels_per_group, first = panel % cut.panels_per_group * cut.panel;
      const size_t outputs = std::min<size_t>(cut.panel, cut.group_outputs - first);
      auto* rows = reinterpret_cast<uint32_t*>(run.shared + op.rows_of_rhs) + panel * cut.panel * op.depth;
      const uint32_t* head = from + group * b.words();
      if (info.along_tokens) {
        product.transpose(rows, op.depth, head + first / 32, b.pixel_stride(), b.pixels(), outputs);
      } else {
        for (size_t j = 0; j < outputs; ++j) std::memcpy(rows + j * op.depth, head + (first + j) * b.pixel_stride(), op.depth * sizeof(uint32_t));
      }
      kernel.pack(run.shared + panel * op.panel_bytes, rows, static_cast<uint32_t>(outputs), 1, op.depth);
      int32_t* origin = origins + group * cut.group_outputs + first;
      for (size_t j = 0; j < outputs; ++j) origin[j] = info.low == 1 ? top * ones(rows + j * op.depth, op.depth) : bits;
    });
    RunContext one = run;
    one.samples = 1;
    one.first = run.first + n;
    one.panels = run.shared;
    one.origins = origins;
    run_counts(one, info, op);
  }
}

}  // namespace bitwright
