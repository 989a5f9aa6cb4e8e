#include "executor_bands.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "executor_lines.h"

namespace bitwright {
namespace {

constexpr size_t kReadPastMap = 64;  // kernels may
constexpr unsigned kCellsOfThread = 10;  // of a batch, at most

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

bool overlap(const ValueInfo& a, const ValueInfo& b) { return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes; }

size_t row_bytes(const ValueInfo& map) { return size_t{map.dims[2]} * map.channels() * map.element_bytes(); }

// Whether both may run at once: the map is theirs alone, and the pooling writes nothing that the convolution still reads. A file's plan says what
// shares memory: a compiler that does not know of bands may put the pooled map where the convolution's input was.
bool may_run_together(const Model& model, size_t index) {
  const OpInfo &op = model.ops[index], &pool = model.ops[index + 1];
  if ((op.opcode != Opcode::kFconv && op.opcode != Opcode::kQconv) || pool.opcode != Opcode::kPool) return false;
  const ValueInfo& map = model.values[pool.in];
  if (op.writes() != std::vector<uint32_t>{pool.in} || map.is_output) return false;
  if (map.dims[0] != 1 || pool.out[0] != 1 || pool.geometry.dilation[1] != 1) return false;  // then windows follow each other
  for (size_t i = 0; i < model.ops.size(); ++i) {
    const std::vector<uint32_t> reads = model.ops[i].reads();
    if (i != index + 1 && std::find(reads.begin(), reads.end(), pool.in) != reads.end()) return false;
  }
  if (std::any_of(pool.steps.begin(), pool.steps.end(), [&](const StepInfo& s) { return s.value == pool.in; })) return false;
  for (uint32_t from : op.reads())
    for (uint32_t to : pool.writes()) {
      const ValueInfo &x = model.values[from], &y = model.values[to];
      if (overlap(x, y) || (x.is_input && y.is_output)) return false;  // a caller may give one array for both
    }
  return true;
}

}  // namespace

Bands::Bands(const Model& model, uint64_t band_bytes) : begins_(model.ops.size()), band_bytes_(band_bytes) {
  for (size_t i = 0; i + 1 < model.ops.size(); ++i) {
    if (!may_run_together(model, i)) continue;
    const OpInfo& pool = model.ops[i + 1];
    const ValueInfo& map = model.values[pool.in];
    const size_t row = row_bytes(map), window = std::min(pool.geometry.kernel[1], map.dims[1]) * row;
    if (row * map.dims[1] < 2 * band_bytes_ || window >= row * map.dims[1]) continue;
    begins_[i] = 1;
    thread_bytes_ = std::max(thread_bytes_, (std::max(band_bytes_, window) + kReadPastMap + 63) / 64 * 64);
  }
}

void Bands::run(const RunContext& run, size_t index, uint8_t* memory, uint64_t* ns) const {
  const Model& model = *run.prepared->model;
  const OpInfo &op = model.ops[index], &pool = model.ops[index + 1];
  const ValueInfo& map = model.values[pool.in];
  const auto& windows = (*run.prepared->ops[index + 1].windows)[1];
  const auto height = static_cast<uint32_t>(windows.size());
  const uint32_t width = map.dims[2], out_width = pool.out[2];
  const size_t row = row_bytes(map);
  std::atomic<uint64_t> spent[2] = {};
  const uint64_t start = ns ? now_ns() : 0;
  const bool maxima = run.prepared->ops[index].pooled != nullptr;
  if (op.opcode == Opcode::kQconv && !run.prepared->ops[index].lines) fill_int8_padding(run, op, run.prepared->ops[index]);

  const auto end_of = [&](uint32_t r) { return windows[r].first + windows[r].count; };
  const auto timed = [&](const RunContext& part, size_t which) {
    const uint64_t from = ns ? now_ns() : 0;
    run_op(part, index + which);
    if (ns) spent[which] += now_ns() - from;
  };
  // Rows [begin, end) of the pooled map, band by band.
  const auto rows = [&](RunContext part, uint32_t begin, uint32_t end, uint8_t* own) {
    part.map = pool.in;
    uint32_t base = 0, done = 0;  // rows [base, done) of the map lie in `own`
    for (uint32_t r = begin, next; r < end; r = next) {
      const uint32_t first = windows[r].first;
      for (next = r + 1; next < end && (end_of(next) - first) * row <= band_bytes_;) ++next;
      if (done > first)
        std::memmove(own, own + (first - base) * row, (done - first) * row);
      else
        done = first;
      base = first;
      part.map_view.data = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(own) - base * row);  // where row 0 would be
      if (done < end_of(next - 1)) {
        part.pixels_begin = done * width;
        done = end_of(next - 1);
        part.pixels_end = done * width;
        timed(part, 0);
      }
      part.pixels_begin = r * out_width;
      part.pixels_end = next * out_width;
      timed(part, 1);
    }
  };

  // Threads take cells of a sample's rows, mostly many that follow each other; what two parts share is computed twice.
  uint32_t cells = 1;
  if (run.pool->worth_sharing(UINT64_MAX)) cells = std::min((run.pool->threads() * kCellsOfThread + run.samples - 1) / run.samples, height);
  const auto part_of_sample = [&](size_t sample, uint32_t first, uint32_t last, unsigned thread) {
    RunContext part = run;
    part.first = run.first + static_cast<uint32_t>(sample);
    part.samples = 1;
    part.scratch += thread * run.prepared->scratch_bytes;
    part.steps += thread * run.prepared->step_count;
    const uint32_t begin = first * height / cells, end = last * height / cells;
    if (!maxima) return rows(part, begin, end, memory + thread * thread_bytes_);
    const uint64_t from = ns ? now_ns() : 0;
    uint64_t steps = 0;
    run_maxima(part, index, begin, end, ns ? &steps : nullptr);
    if (ns) spent[0] += now_ns() - from - steps, spent[1] += steps;
  };
  run.pool->run_parts(size_t{run.samples} * cells, cells, [&](const Pool::Part& part) {
    for (size_t at = part.begin, next; at < part.end; at = next) {
      next = std::min(part.end, at / cells * cells + cells);
      const auto first = static_cast<uint32_t>(at % cells);
      part_of_sample(at / cells, first, first + static_cast<uint32_t>(next - at), part.thread);
    }
  });
  if (!ns) return;
  const uint64_t all = now_ns() - start, sum = std::max<uint64_t>(spent[0] + spent[1], 1);
  const auto pooling = static_cast<uint64_t>(static_cast<double>(all) * static_cast<double>(spent[1]) / static_cast<double>(sum));
  ns[0] += all - pooling;
  ns[1] += pooling;
}

}  // namespace bitwright
