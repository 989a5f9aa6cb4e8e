// Runs one prepared op on a micro-batch whose values already have memory.
#pragma once

#include <cstdint>

#include "pool.h"
#include "prepare.h"

namespace bitwright {

// Where the samples of a value lie.
struct View {
  void* data = nullptr;
  size_t sample_stride = 0;  // in elements of 4 bytes
};

struct RunContext {
  const PreparedModel* prepared = nullptr;
  const View* views = nullptr;  // by value id
  uint32_t samples = 0;
  Pool* pool = nullptr;
  uint8_t* scratch = nullptr;  // threads * prepared->scratch_bytes
  Step* steps = nullptr;       // prepared->step_count, of each thread that runs bands: so that a run allocates nothing
  uint8_t* shared = nullptr;   // prepared->shared_bytes, 64-byte aligned
  uint32_t first = 0;          // the first of the samples
  // A band (executor_bands.h) runs within one thread: of one sample, these pixels of the op's output. No end: all pixels of all samples.
  uint32_t pixels_begin = 0, pixels_end = 0;
  uint32_t map = kNone;        // the value whose rows of the moment lie elsewhere
  View map_view = {};
  // BMATMUL runs sample by sample, as a convolution with weights of the moment:
  const uint8_t* panels = nullptr;   // in place of the op's weights
  const int32_t* origins = nullptr;  // in place of the op's rows, by absolute channel

  const View& view(uint32_t id) const { return id == map ? map_view : views[id]; }
  bool is_band() const { return pixels_end != 0; }
};

// Throws Error(kInput) if an EMBED op meets an id out of range.
void run_op(const RunContext& run, size_t index);

// Writes the padding pixels that a QCONV reads, of all samples.
void fill_int8_padding(const RunContext& run, const OpInfo& info, const PreparedOp& op);

// A binary convolution by the op's count kernel.
void run_counts(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
