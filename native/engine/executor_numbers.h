// Convolutions of floats and int8, by the op's sum kernel.
#pragma once

#include "executor.h"

namespace bitwright {

void run_float(const RunContext& run, const OpInfo& info, const PreparedOp& op);
void run_int8(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
