// A model ready to run with some number of threads. Safe to share between threads: every call has an arena of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "executor.h"
#include "executor_bands.h"
#include "machine.h"
#include "model.h"
#include "pool.h"
#include "prepare.h"

namespace bitwright {

enum class ElementType { kF32, kI32, kI64, kU8 };

// A caller's array. Strides count elements and stand for N, D, H, W, C; those of dimensions of one element do not matter.
struct ExternalTensor {
  ElementType type = ElementType::kF32;
  void* data = nullptr;
  int64_t strides[5] = {0, 0, 0, 0, 0};
};

// Strides of a contiguous array in the value's external layout.
void contiguous_strides(const ValueInfo& value, int64_t (&strides)[5]);

struct SessionOptions {
  unsigned threads = 1;  // 0: as many as the process may use
  std::string kernel;    // see select_kernels
  Choices choices;       // kernels of single ops, see tune.h
  uint64_t cache_bytes = 0;  // what a micro-batch's arena may take; 0: the L2 cache, or the packed weights if they are larger
  uint64_t band_bytes = 0;   // see executor_bands.h; 0: a quarter of the L2 cache
};

class Session {
 public:
  Session(std::shared_ptr<const Model> model, const SessionOptions& options);
  ~Session();

  const Model& model() const { return *prepared_->model; }
  const PreparedModel& prepared() const { return *prepared_; }
  unsigned threads() const { return pool_.threads(); }
  uint32_t micro_batch() const { return micro_batch_; }
  // Memory of a run apart from the arena.
  size_t scratch_bytes() const { return (prepared_->scratch_bytes + bands_.thread_bytes()) * threads() + prepared_->shared_bytes; }

  // `inputs` and `outputs` in the order of model().inputs / outputs. Adds each op's nanoseconds to (*op_ns)[op] if it is given.
  void run(uint64_t samples, const ExternalTensor* inputs, const ExternalTensor* outputs, std::vector<uint64_t>* op_ns = nullptr);

  // The same with contiguous arrays (see contiguous_strides) of the values' own element types.
  void run_contiguous(uint64_t samples, const void* const* inputs, void* const* outputs);

  // Runs one op on values in the engine's own layout, [samples][value bytes]. `values` has an entry for each value that the op reads or writes.
  void run_one(size_t op, uint32_t samples, const std::map<uint32_t, void*>& values);

  // Runs one op `repeats` times, after one run to warm up, on made-up values; nanoseconds of each run.
  std::vector<uint64_t> time_op(size_t op, uint32_t samples, uint32_t repeats);

  // See machine.h; with the session's threads.
  std::vector<MachineRate> measure_machine(uint64_t bytes, const std::vector<const RooflineLoop*>& loops) {
    return bitwright::measure_machine(pool_, bytes, loops);
  }

  // Nanoseconds of each run of the op by each of the prepared variants of it, one after the other in each of `rounds` rounds: [variant][round].
  std::vector<std::vector<uint64_t>> time_variants(size_t op, uint32_t samples, const std::vector<std::shared_ptr<const PreparedModel>>& variants,
                                                   uint32_t rounds);

 private:
  struct Arena;
  void run_in(Arena& arena, uint32_t batch, uint64_t samples, const ExternalTensor* inputs, const ExternalTensor* outputs,
              std::vector<uint64_t>* op_ns);
  std::unique_ptr<Arena> take_arena(uint32_t samples);
  void give_back(std::unique_ptr<Arena> arena);

  std::shared_ptr<const PreparedModel> prepared_;
  Pool pool_;
  uint32_t micro_batch_ = 1;
  Bands bands_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Arena>> free_;
};

}  // namespace bitwright
