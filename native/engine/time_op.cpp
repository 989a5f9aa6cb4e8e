// Timing one op of a session alone, on values that are made up: the time does not depend on them.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "error.h"
#include "session.h"

namespace bitwright {
namespace {

uint32_t next(uint32_t& state) {
  state ^= state << 13, state ^= state >> 17, state ^= state << 5;
  return state;
}

// Floats in [-1, 1), random bits with empty tails, random integers; ids are 0.
void make_up(const ValueInfo& v, uint32_t samples, uint8_t* data) {
  uint32_t state = 2463534242u;
  for (uint32_t n = 0; n < samples; ++n, data += v.bytes) {
    if (v.dtype == DType::kF32) {
      for (uint64_t i = 0; i < v.bytes / 4; ++i) {
        const float x = static_cast<float>(static_cast<int32_t>(next(state))) * 0x1p-31f;
        std::memcpy(data + i * 4, &x, 4);
      }
    } else if (v.dtype == DType::kBits) {
      const uint32_t words = v.words(), tail = v.group_channels() % 32;
      for (uint64_t i = 0; i < v.bytes / 4; ++i) {
        uint32_t word = next(state);
        if (tail && i % words == words - 1) word &= (1u << tail) - 1;
        std::memcpy(data + i * 4, &word, 4);
      }
    } else if (v.dtype != DType::kI32) {
      for (uint64_t i = 0; i < v.bytes; ++i) data[i] = static_cast<uint8_t>(next(state));
    }
  }
}

}  // namespace

std::vector<std::vector<uint64_t>> Session::time_variants(size_t op, uint32_t samples, const std::vector<std::shared_ptr<const PreparedModel>>& variants,
                                                          uint32_t rounds) {
  const Model& m = model();
  if (op >= m.ops.size()) fail(Status::kArgument, "op ", op, ": the model has ", m.ops.size());
  if (samples == 0) fail(Status::kArgument, "the batch is empty: there is nothing to time");
  std::map<uint64_t, AlignedBuffer> memory;  // by place: a sum may be stored where its summand was
  std::vector<View> views(m.values.size());
  for (const auto& ids : {m.ops[op].reads(), m.ops[op].writes()})
    for (uint32_t id : ids) {
      const ValueInfo& v = m.values[id];
      const auto [at, fresh] = memory.emplace(v.offset, AlignedBuffer());
      if (!fresh) {
        views[id] = {at->second.data(), v.bytes / 4};
        continue;
      }
      at->second = AlignedBuffer(v.bytes * samples + 64, true);  // kernels may read some bytes behind a value
      make_up(v, samples, at->second.as<uint8_t>());
      views[id] = {at->second.data(), v.bytes / 4};
    }
  size_t scratch_bytes = 0, shared_bytes = 0, step_count = 0;
  for (const auto& p : variants) {
    scratch_bytes = std::max(scratch_bytes, p->scratch_bytes);
    shared_bytes = std::max(shared_bytes, p->shared_bytes);
    step_count = std::max(step_count, p->step_count);
  }
  const AlignedBuffer scratch(scratch_bytes * threads()), shared(shared_bytes);
  std::vector<Step> steps(step_count);
  const Pool::Busy busy(pool_);
  const auto run = [&](const PreparedModel& p) {
    const auto start = std::chrono::steady_clock::now();
    run_op({&p, views.data(), samples, &pool_, scratch.as<uint8_t>(), steps.data(), shared.as<uint8_t>()}, op);
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  };
  std::vector<std::vector<uint64_t>> ns(variants.size());
  for (const auto& p : variants) run(*p);
  for (uint32_t round = 0; round < rounds; ++round)
    for (size_t i = 0; i < variants.size(); ++i) ns[i].push_back(run(*variants[i]));
  return ns;
}

std::vector<uint64_t> Session::time_op(size_t op, uint32_t samples, uint32_t repeats) {
  return time_variants(op, samples, {prepared_}, repeats).front();
}

}  // namespace bitwright
