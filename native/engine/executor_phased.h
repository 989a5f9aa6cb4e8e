// Runs the bands of a map that is laid out by phases (phased_map.h): a thread lays one out in its scratch, computes it and copies its pixels.
#pragma once

#include <algorithm>

#include "executor.h"
#include "phased_map.h"

namespace bitwright {

// compute(arranged, band, samples) makes the bits of a band of so many samples from the words that lie at `arranged`, with the rest of the thread's
// scratch behind them; copy(arranged, first position, pixels, out) writes those of a row of output.
template <class Compute, class Copy>
void run_bands(const RunContext& run, const View& from, const PhasedMap& map, const ValueRef& to, const Compute& compute, const Copy& copy) {
  const uint32_t bands = map.bands();
  const uint64_t cycles = map.cycles() * run.samples;
  const auto body = [&](const Pool::Part& part) {
    auto* const arranged = reinterpret_cast<uint32_t*>(run.scratch + part.thread * run.prepared->scratch_bytes);
    for (size_t i = part.begin; i < part.end; ++i) {
      const auto sample = static_cast<uint32_t>(i / bands * map.samples()), band = static_cast<uint32_t>(i % bands);
      const uint32_t samples = std::min(map.samples(), run.samples - sample);
      map.arrange(static_cast<const uint32_t*>(from.data) + sample * from.sample_stride, from.sample_stride, samples, band, arranged);
      compute(arranged, band, samples);
      map.for_rows(band, samples, [&](size_t position, size_t pixels, size_t pixel, size_t s) {
        copy(arranged, position, pixels, static_cast<uint32_t*>(to.data) + (sample + s) * to.sample_stride + pixel * to.pixel_stride);
      });
    }
  };
  run.pool->run_parts(size_t{(run.samples + map.samples() - 1) / map.samples()} * bands, 1, body, cycles);
}

}  // namespace bitwright
