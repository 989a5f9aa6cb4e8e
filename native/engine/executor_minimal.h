// Float convolutions by minimal filtering.
#pragma once

#include "executor.h"

namespace bitwright {

void run_minimal(const RunContext& run, const OpInfo& info, const PreparedOp& op);

}  // namespace bitwright
