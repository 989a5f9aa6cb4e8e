#include "prepare_chain.h"

#include <cstdlib>

namespace bitwright {
namespace {

constexpr uint32_t kFewestPixels = 16;          // tiles end with a sample: with fewer pixels weights would pass for too few of them
constexpr int32_t kLargest = 1 << 22;           // of counts and origins, for exact floats
constexpr float kBase = 8388608.0f;             // 2^23, where a float's last bit is 1

// What a kernel subtracts slope * (2^23 + count) from, as floats; false if that would not be exact.
bool float_origins(const PreparedOp& op, uint32_t channels, PreparedChain& chain) {
  chain.origin = AlignedBuffer(size_t{op.row_classes} * op.rows_stride * sizeof(float), true);
  for (uint32_t k = 0; k < op.row_classes; ++k)
    for (uint32_t c = 0; c < channels; ++c) {
      const int32_t origin = op.rows.as<int32_t>()[k * op.rows_stride + c];
      if (origin % op.slope != 0 || std::abs(origin) >= kLargest) return false;
      chain.origin.as<float>()[k * op.rows_stride + c] = static_cast<float>(op.slope) * (kBase + static_cast<float>(origin / op.slope));
    }
  return true;
}

void short_origins(const PreparedOp& op, uint32_t channels, PreparedChain& chain) {
  chain.origin = AlignedBuffer(size_t{op.row_classes} * op.rows_stride * sizeof(int16_t), true);
  for (uint32_t k = 0; k < op.row_classes; ++k)
    for (uint32_t c = 0; c < channels; ++c) {
      const auto origin = static_cast<uint32_t>(op.rows.as<int32_t>()[k * op.rows_stride + c]);
      chain.origin.as<int16_t>()[k * op.rows_stride + c] = static_cast<int16_t>(origin << op.plan->shift);
    }
}

}  // namespace

std::unique_ptr<const PreparedChain> make_chain(const PreparedOp& op, uint32_t channels, const SlicedKernel* sliced) {
  const char* isa = sliced ? sliced->isa : op.binary->isa;
  const bool takes_floats = sliced ? sliced->floats != nullptr : op.binary->floats != nullptr, takes_shorts = sliced ? sliced->shorts != nullptr : op.binary->shorts != nullptr;
  const Cut& cut = op.cut;
  if (!op.plan || op.planes != 1 || op.table->pixels < kFewestPixels || cut.whole_rows || cut.panels_per_unit != 1) return nullptr;
  if (cut.group_outputs % cut.panel != 0) return nullptr;
  if (op.kernels.epilogue != find_epilogue_kernel(isa)) return nullptr;  // another one was asked for
  auto chain = std::make_unique<PreparedChain>();
  chain->fixed = op.plan->fixed;
  if (chain->fixed) {
    if (!takes_shorts || op.wide || op.plan->factor == nullptr) return nullptr;
    short_origins(op, channels, *chain);
  } else {
    if (!takes_floats || !op.plan->usual() || uint64_t{op.taps} * op.depth * 32 >= kLargest) return nullptr;
    if (!float_origins(op, channels, *chain)) return nullptr;
  }
  return chain;
}

std::unique_ptr<const PreparedChain> make_float_chain(const PreparedOp& op) {
  constexpr uint32_t kFewestInputs = 4;  // of a tap: for fewer the kernel has loops of its own
  const FloatKernel& kernel = *op.kernels.floats;
  const Cut& cut = op.cut;
  if (!kernel.chain || op.depthwise || op.depth < kFewestInputs || op.table->pixels < kFewestPixels) return nullptr;
  if (!op.plan || op.plan->fixed || !op.plan->usual() || op.plan->head == Head::kNone) return nullptr;
  if (cut.whole_rows || cut.panels_per_unit != 1 || cut.group_outputs % cut.panel != 0) return nullptr;
  if (op.kernels.epilogue != find_epilogue_kernel(kernel.isa)) return nullptr;  // another one was asked for
  return std::make_unique<PreparedChain>();
}

}  // namespace bitwright
