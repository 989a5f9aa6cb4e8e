// Runs the bands of a map that is laid out by phases (phased_map.h): a thread lays one out in its scratch, computes it and copies its pixels.
#pragma once

#include <algorithm>

#include "executor.h"
#include "phased_map.h"

namespace bitwright {

// `block`: positions that are computed together. compute(arranged, band, begin, end) makes the bits of positions `begin` to `end` of a band from the words that
// lie at `arranged`, with the rest of the thread's scratch behind them; copy(arranged, first position, pixels, out) writes those of a row of output.
template <class Compute, class Copy>
void run_bands(const RunContext& run, const View& from, const PhasedMap& map, const ValueRef& to, uint32_t block, const Compute& compute, const Copy& copy) {
  const uint32_t bands = map.bands();
  // Positions `begin` to `end` of a band of some samples from `sample` on.
  const auto part_of = [&](unsigned thread, uint32_t sample, uint32_t samples, uint32_t band, uint32_t begin, uint32_t end) {
    auto* const arranged = reinterpret_cast<uint32_t*>(run.scratch + thread * run.prepared->scratch_bytes);
    map.arrange(static_cast<const uint32_t*>(from.data) + sample * from.sample_stride, from.sample_stride, samples, band, arranged);
    compute(arranged, band, begin, end);
    map.for_rows(band, samples, [&](size_t position, size_t pixels, size_t pixel, size_t s) {
      const size_t first = std::max<size_t>(position, begin), last = std::min<size_t>(position + pixels, end);
      if (first >= last) return;
      copy(arranged, first, last - first, static_cast<uint32_t*>(to.data) + (sample + s) * to.sample_stride + (pixel + (first - position)) * to.pixel_stride);
    });
  };
  const uint64_t cycles = run.pool->threads() > 1 ? map.cycles(run.samples) : 0;
  if (!run.pool->worth_sharing(cycles)) {
    for (uint32_t sample = 0, samples; sample < run.samples; sample += samples) {
      samples = std::min(map.samples(), run.samples - sample);
      for (uint32_t band = 0; band < bands; ++band) part_of(0, sample, samples, band, 0, map.positions(band, samples));
    }
    return;
  }
  const unsigned threads = run.pool->threads();
  const uint32_t together = std::clamp((run.samples + 2 * threads - 1) / (2 * threads), 1u, map.samples());
  const size_t wholes = size_t{(run.samples + together - 1) / together} * bands;  // bands of samples
  // Few of them are divided among the threads, who each lay them out.
  const size_t parts = wholes >= 2 * threads ? 1 : wholes == 1 ? threads : 2;
  const auto body = [&](const Pool::Part& some) {
    for (size_t i = some.begin, next; i < some.end; i = next) {
      const size_t whole = i / parts, first = i % parts;
      next = std::min(some.end, (whole + 1) * parts);
      const auto sample = static_cast<uint32_t>(whole / bands * together), band = static_cast<uint32_t>(whole % bands);
      const uint32_t samples = std::min(together, run.samples - sample), positions = map.positions(band, samples);
      const size_t blocks = (positions + block - 1) / block;
      const auto begin = static_cast<uint32_t>(blocks * first / parts * block);
      const auto end = static_cast<uint32_t>(std::min<size_t>(blocks * (next - whole * parts) / parts * block, positions));
      if (begin != end) part_of(some.thread, sample, samples, band, begin, end);
    }
  };
  run.pool->run_parts(wholes * parts, 1, body, cycles);
}

}  // namespace bitwright
