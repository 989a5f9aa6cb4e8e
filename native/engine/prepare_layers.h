// Ops of each kind: their table, cut and packed weights. After the op's steps.
#pragma once

#include "preparation.h"

namespace bitwright {

void prepare_binary(Preparation& all, const OpInfo& op, PreparedOp& p);

// A convolution with a kernel of one tap whose weights, B, are laid out when it runs.
void prepare_matmul(Preparation& all, const OpInfo& op, PreparedOp& p);

void prepare_floats(Preparation& all, const OpInfo& op, PreparedOp& p);

void prepare_int8(Preparation& all, const OpInfo& op, PreparedOp& p);

// An int8 convolution of few channels and the max pooling behind it: pooling its sums, a quarter of them goes through the steps. Only bands run it.
// `next`: the op behind it, which is `pool`, prepared.
void pool_sums(Preparation& all, const OpInfo& op, PreparedOp& p, const OpInfo& pool, const PreparedOp& next);

void prepare_bit_pooling(Preparation& all, const OpInfo& op, PreparedOp& p);

// POOL, MAP, EMBED: rows of a tile stay in L1.
void prepare_elementwise(Preparation& all, const OpInfo& op, PreparedOp& p);

}  // namespace bitwright
