// What an EpilogueKernel of a SIMD instruction set offers: chains of a known shape, i16 chains, and the interpreter for the rest. Included last.

inline void from_counts16(const uint16_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n) {
  if (slope != 1 && slope != 2) return epilogue_portable->from_counts16(counts, t, origin, slope, steps, n);  // no layer has one
  const Source source{From::kCounts16, counts, origin, slope};
  if (steps[0].kind == StepKind::kFixed) return fixed_run<uint16_t>(source, t, steps, n);
  if (steps[0].plan != nullptr) return steps[0].plan->usual() ? fused<uint16_t>(source, t, steps) : loose<uint16_t>(source, t, steps);
  run(source, t, steps, n);
}

inline void from_counts32(const uint32_t* counts, const EpilogueTile& t, const int32_t* const* origin, int32_t slope, const Step* steps, size_t n) {
  // FIXED behind counts of 32 bits is refused by the reader.
  if (steps[0].kind == StepKind::kFixed || (slope != 1 && slope != 2)) return epilogue_portable->from_counts32(counts, t, origin, slope, steps, n);
  run({From::kCounts32, counts, origin, slope}, t, steps, n);
}

inline void from_float(const float* x, const EpilogueTile& t, const Step* steps, size_t n) {
  const Source source{From::kFloat, x, nullptr, 0};
  if (steps[0].plan != nullptr) return steps[0].plan->usual() ? fused<float>(source, t, steps) : loose<float>(source, t, steps);
  run(source, t, steps, n);
}

inline void from_int32(const int32_t* sums, const EpilogueTile& t, const int32_t* const* origin, const Step* steps, size_t n) {
  const Source source{From::kInt32, sums, origin, 0};
  if (steps[0].plan != nullptr) return loose<int32_t>(source, t, steps);
  run(source, t, steps, n);
}

inline void from_i16(const int16_t* x, const EpilogueTile& t, const Step* steps, size_t n) {
  fixed_run<int16_t>({From::kI16, x, nullptr, 0}, t, steps, n);
}
