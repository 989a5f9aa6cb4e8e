// Binary convolutions whose kernel takes the chain of steps in registers.
#pragma once

#include "executor.h"
#include "executor_maps.h"

namespace bitwright {

// One work item: these pixels of the row of all samples' pixels, these panels.
void run_chain(const RunContext& run, const OpInfo& info, const PreparedOp& op, const StepList& steps, size_t first_pixel, uint32_t pixels, uint32_t panel_begin,
               uint32_t panel_end);

// A tile of the op's chain, FloatsTile or ShortsTile, for the panel that begins with this channel: its constants, but for the origins.
template <class Tile>
Tile chain_tile(const PreparedOp& op, const Step* steps, uint32_t channel);

// Points it at pixel p of sample n.
template <class Tile>
void begin_values(Tile& tile, const ChainPlan& plan, const Step* steps, size_t n, size_t p, uint32_t channel);

}  // namespace bitwright
