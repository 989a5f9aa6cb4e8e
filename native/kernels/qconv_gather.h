// Int8Kernel::gather of every instruction set: wide copies that write past a run's end, where the next run follows. Included by one translation unit
// per instruction set, inside namespace bitwright and an unnamed namespace, after <cstring> and kernel.h. kCopy: bytes of the register used.
template <size_t kCopy>
void gather_windows(uint8_t* rows, size_t row_bytes, const GatherWindow* windows, uint32_t pixels) {
  for (uint32_t i = 0; i < pixels; ++i, rows += row_bytes) {
    const GatherWindow w = windows[i];
    uint8_t* to = rows;
    for (uint32_t r = 0; r < w.n_runs; ++r) {
      const GatherRun run = w.runs[r];
      const uint8_t* from = (run.fixed ? w.sample : w.origin) + run.offset;
      for (uint32_t k = 0; k < run.count; k += kCopy) std::memcpy(to + k, from + k, kCopy);
      to += run.count;
    }
  }
}
