// Binary convolutions by a sliced kernel.
#pragma once

#include "executor.h"

namespace bitwright {

void run_sliced(const RunContext& run, const OpInfo& info, const PreparedOp& op);

// Writes the padding pixel of every sample.
void fill_padding(const RunContext& run, const ValueInfo& in, const View& view, uint32_t fill);

}  // namespace bitwright
