// Int8 convolutions of few channels, a stretch of a row of outputs at a time: the lines of the map that its windows read lie side by side, with the padding.
#pragma once

#include "executor.h"

namespace bitwright {

// One work item: these pixels of the row of all samples' pixels, these units of output channels.
void run_lines(const RunContext& run, const OpInfo& info, const PreparedOp& op, const Step* steps, size_t first_pixel, uint32_t pixels, uint32_t unit_begin,
               uint32_t unit_end, uint8_t* scratch);

// The convolution and the max pooling behind it (op.pooled) for rows [begin, end) of the pooled map of sample run.first. Adds the time of the steps to *ns,
// if there is `ns`.
void run_maxima(const RunContext& run, size_t index, uint32_t begin, uint32_t end, uint64_t* ns);

}  // namespace bitwright
