// Products of two bits values.
#pragma once

#include "executor.h"

namespace bitwright {

void run_matmul(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
