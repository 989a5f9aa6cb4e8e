#include "session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "cpus.h"
#include "error.h"
#include "interleave.h"
#include "timeline.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace bitwright {
namespace {

constexpr uint32_t kMaxMicroBatch = 256;
constexpr uint64_t kMaxMicroBatchBytes = uint64_t{32} << 20;

uint64_t l2_bytes() {
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
  const long size = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (size > 0) return static_cast<uint64_t>(size);
#endif
  return uint64_t{1} << 20;
}

// A micro-batch's activations share the cache with the weights, which pass through it once per micro-batch: growing the batch until its arena is
// as large as the weights halves the traffic at worst, growing it further gains little.
uint32_t micro_batch_for(const PreparedModel& prepared, uint64_t cache_bytes) {
  const uint64_t room = cache_bytes ? cache_bytes : std::min(std::max(l2_bytes(), prepared.weight_bytes), kMaxMicroBatchBytes);
  return static_cast<uint32_t>(std::clamp<uint64_t>(room / std::max<uint64_t>(prepared.model->arena_bytes, 1), 1, kMaxMicroBatch));
}

// Strides of the engine's own layout for one f32, i32 or u8 value.
void own_strides(const ValueInfo& v, int64_t (&s)[5]) {
  s[4] = 1;
  s[3] = v.dims[3];
  s[2] = s[3] * v.dims[2];
  s[1] = s[2] * v.dims[1];
  s[0] = static_cast<int64_t>(v.bytes / v.element_bytes());
}

// True if a sample of the external array lies as the engine's own layout would.
bool same_layout(const ValueInfo& v, const ExternalTensor& t) {
  if (t.type == ElementType::kI64 || t.type == ElementType::kU8 /* has a padding pixel */ || t.strides[0] < 0 || t.strides[0] > std::numeric_limits<int32_t>::max() ||
      reinterpret_cast<uintptr_t>(t.data) % 4 != 0) return false;
  int64_t own[5];
  own_strides(v, own);
  for (int k = 0; k < 4; ++k)
    if (v.dims[k] > 1 && own[k + 1] != t.strides[k + 1]) return false;
  return true;
}

// Copies dims[0..3] elements between strided arrays; the innermost loop is the last dimension.
template <class To, class From, class Convert>
void copy_strided(To* to, const int64_t* to_strides, const From* from, const int64_t* from_strides, const std::array<uint32_t, 4>& dims,
                  const Convert& convert) {
  for (uint32_t d = 0; d < dims[0]; ++d)
    for (uint32_t h = 0; h < dims[1]; ++h)
      for (uint32_t w = 0; w < dims[2]; ++w) {
        To* y = to + d * to_strides[0] + h * to_strides[1] + w * to_strides[2];
        const From* x = from + d * from_strides[0] + h * from_strides[1] + w * from_strides[2];
        for (uint32_t c = 0; c < dims[3]; ++c) y[c * to_strides[3]] = convert(x[c * from_strides[3]]);
      }
}

int32_t narrow_id(int64_t id) {
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) fail(Status::kInput, "id ", id, " is out of range");
  return static_cast<int32_t>(id);
}

// strides: of D, H, W, C in `from`. `to` has no gaps.
template <class T>
void import_pixels(const ValueInfo& v, const T* from, const int64_t* strides, T* to) {
  const uint32_t width = v.dims[2], channels = v.dims[3];
  const bool lines = (channels == 1 || strides[3] == 1) && (width == 1 || strides[2] == channels);  // a line of pixels is contiguous
  const bool planes = width == 1 || strides[2] == 1;
  for (uint32_t d = 0; d < v.dims[0]; ++d)
    for (uint32_t h = 0; h < v.dims[1]; ++h, to += size_t{width} * channels) {
      const T* line = from + d * strides[0] + h * strides[1];
      if (lines)
        std::memcpy(to, line, size_t{width} * channels * sizeof(T));
      else if (planes && channels == 3)
        interleave3(to, line, strides[3], width);
      else
        for (uint32_t w = 0; w < width; ++w)
          for (uint32_t c = 0; c < channels; ++c) to[size_t{w} * channels + c] = line[w * strides[2] + c * strides[3]];
    }
}

void import_sample(const ValueInfo& v, const ExternalTensor& t, uint64_t n, void* own) {
  int64_t strides[5];
  own_strides(v, strides);
  const int64_t at = static_cast<int64_t>(n) * t.strides[0];
  if (t.type == ElementType::kU8)
    import_pixels(v, static_cast<const uint8_t*>(t.data) + at, t.strides + 1, static_cast<uint8_t*>(own));
  else if (t.type == ElementType::kI64)
    copy_strided(static_cast<int32_t*>(own), strides + 1, static_cast<const int64_t*>(t.data) + at, t.strides + 1, v.dims, narrow_id);
  else  // f32 and i32 alike: bits are moved
    import_pixels(v, static_cast<const uint32_t*>(t.data) + at, t.strides + 1, static_cast<uint32_t*>(own));
}

void export_sample(const ValueInfo& v, const ExternalTensor& t, uint64_t n, const void* own) {
  int64_t strides[5];
  own_strides(v, strides);
  copy_strided(static_cast<uint32_t*>(t.data) + static_cast<int64_t>(n) * t.strides[0], t.strides + 1, static_cast<const uint32_t*>(own),
               strides + 1, v.dims, [](uint32_t x) { return x; });
}

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

}  // namespace

void contiguous_strides(const ValueInfo& value, int64_t (&strides)[5]) {
  for (int64_t& s : strides) s = 0;
  int64_t elements = 1;
  for (int k = 3; k >= 0; --k) {
    const uint8_t axis = value.axes[k];
    if (axis == 0) continue;
    strides[axis] = elements;
    elements *= value.dims[axis - 1];
  }
  strides[0] = elements;
}

struct Session::Arena {
  uint32_t samples = 0;
  AlignedBuffer memory;
  AlignedBuffer scratch;
  AlignedBuffer shared;
  AlignedBuffer bands;
  std::vector<View> views;
  std::vector<Step> steps;
  std::vector<uint8_t> in_place;         // by output
  std::vector<ExternalTensor> external;  // inputs, then outputs: contiguous, the data of this call
};

namespace {

ExternalTensor contiguous(const ValueInfo& value) {
  ExternalTensor t;
  t.type = value.dtype == DType::kI32 ? ElementType::kI32 : value.dtype == DType::kU8 ? ElementType::kU8 : ElementType::kF32;
  contiguous_strides(value, t.strides);
  return t;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options)
    : prepared_(prepare(std::move(model), select_kernels(options.kernel), options.choices)),
      pool_(options.threads ? options.threads : available_cpus()),
      micro_batch_(micro_batch_for(*prepared_, options.cache_bytes)),
      bands_(*prepared_->model, options.band_bytes ? options.band_bytes : l2_bytes() / 4) {}

Session::~Session() = default;

std::unique_ptr<Session::Arena> Session::take_arena(uint32_t samples) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& arena : free_) {
      if (arena->samples < samples) continue;
      auto taken = std::move(arena);
      arena = std::move(free_.back());
      free_.pop_back();
      return taken;
    }
    free_.clear();  // all too small
  }
  auto arena = std::make_unique<Arena>();
  arena->samples = samples;
  arena->memory = AlignedBuffer(model().arena_bytes * samples);
  arena->scratch = AlignedBuffer(prepared_->scratch_bytes * threads());
  arena->shared = AlignedBuffer(prepared_->shared_bytes);
  arena->views.resize(model().values.size());
  arena->bands = AlignedBuffer(bands_.thread_bytes() * threads());
  arena->steps.resize(prepared_->step_count * threads());
  arena->in_place.resize(model().outputs.size());
  for (uint32_t id : model().inputs) arena->external.push_back(contiguous(model().values[id]));
  for (uint32_t id : model().outputs) arena->external.push_back(contiguous(model().values[id]));
  return arena;
}

void Session::give_back(std::unique_ptr<Arena> arena) {
  std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(std::move(arena));
}

void Session::run(uint64_t samples, const ExternalTensor* inputs, const ExternalTensor* outputs, std::vector<uint64_t>* op_ns) {
  const Model& m = model();
  if (op_ns) op_ns->resize(m.ops.size());
  if (samples == 0) return;
  const auto batch = static_cast<uint32_t>(std::min<uint64_t>(samples, micro_batch_));
  std::unique_ptr<Arena> arena = take_arena(batch);
  run_in(*arena, batch, samples, inputs, outputs, op_ns);
  give_back(std::move(arena));
}

void Session::run_contiguous(uint64_t samples, const void* const* inputs, void* const* outputs) {
  if (samples == 0) return;
  const auto batch = static_cast<uint32_t>(std::min<uint64_t>(samples, micro_batch_));
  std::unique_ptr<Arena> arena = take_arena(batch);
  const size_t n_inputs = model().inputs.size();
  for (size_t k = 0; k < n_inputs; ++k) arena->external[k].data = const_cast<void*>(inputs[k]);
  for (size_t k = 0; k < model().outputs.size(); ++k) arena->external[n_inputs + k].data = outputs[k];
  run_in(*arena, batch, samples, arena->external.data(), arena->external.data() + n_inputs, nullptr);
  give_back(std::move(arena));
}

void Session::run_in(Arena& arena, uint32_t batch, uint64_t samples, const ExternalTensor* inputs, const ExternalTensor* outputs,
                     std::vector<uint64_t>* op_ns) {
  const Model& m = model();
  const Pool::Busy busy(pool_);
  for (uint64_t first = 0; first < samples; first += batch) {
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(batch, samples - first));
    for (size_t i = 0; i < m.values.size(); ++i) {
      const ValueInfo& v = m.values[i];
      arena.views[i] = {arena.memory.as<uint8_t>() + v.offset * n, v.bytes / 4};
    }
    // An external array that lies as the engine would lay it is used in place.
    const auto place = [&](uint32_t id, const ExternalTensor& t) {
      if (!same_layout(m.values[id], t)) return false;
      arena.views[id] = {static_cast<uint32_t*>(t.data) + static_cast<int64_t>(first) * t.strides[0], static_cast<size_t>(t.strides[0])};
      return true;
    };
    for (size_t k = 0; k < m.inputs.size(); ++k) {
      const ValueInfo& v = m.values[m.inputs[k]];
      if (place(m.inputs[k], inputs[k])) continue;
      const View& view = arena.views[m.inputs[k]];
      pool_.run(n, [&](size_t s, unsigned) {
        import_sample(v, inputs[k], first + s, static_cast<uint32_t*>(view.data) + s * view.sample_stride);
      }, n * (v.bytes / 4));
    }
    for (size_t k = 0; k < m.outputs.size(); ++k) arena.in_place[k] = place(m.outputs[k], outputs[k]);
    const RunContext run{prepared_.get(), arena.views.data(), n, &pool_, arena.scratch.as<uint8_t>(), arena.steps.data(), arena.shared.as<uint8_t>()};
    for (size_t i = 0; i < m.ops.size(); ++i) {
      stamp(Moment::kOp, 0, i);
      if (bands_.begin_at(i)) {
        bands_.run(run, i, arena.bands.as<uint8_t>(), op_ns ? op_ns->data() + i : nullptr);
        ++i;
        continue;
      }
      const uint64_t start = op_ns ? now_ns() : 0;
      run_op(run, i);
      if (op_ns) (*op_ns)[i] += now_ns() - start;
    }
    stamp(Moment::kOp, 0, m.ops.size());
    for (size_t k = 0; k < m.outputs.size(); ++k) {
      if (arena.in_place[k]) continue;
      const View& view = arena.views[m.outputs[k]];
      pool_.run(n, [&](size_t s, unsigned) {
        export_sample(m.values[m.outputs[k]], outputs[k], first + s, static_cast<uint32_t*>(view.data) + s * view.sample_stride);
      }, n * (m.values[m.outputs[k]].bytes / 4));
    }
  }
}

void Session::run_one(size_t op, uint32_t samples, const std::map<uint32_t, void*>& values) {
  const Model& m = model();
  std::vector<View> views(m.values.size());
  for (const auto& [id, data] : values) views[id] = {data, m.values[id].bytes / 4};
  const AlignedBuffer scratch(prepared_->scratch_bytes * threads()), shared(prepared_->shared_bytes);
  std::vector<Step> steps(prepared_->step_count);
  const Pool::Busy busy(pool_);
  run_op({prepared_.get(), views.data(), samples, &pool_, scratch.as<uint8_t>(), steps.data(), shared.as<uint8_t>()}, op);
}

}  // namespace bitwright
