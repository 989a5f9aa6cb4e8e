// The loops of packing, shared by the instruction sets. Included by one translation unit per instruction set, inside an unnamed namespace, after it
// has defined, for T of float, int16_t, int8_t, uint8_t:
//
//   Bits                                uint32_t or uint64_t: the bits of one block
//   Threshold<T>(const T* one)          one threshold in all lanes
//   ge(const T* x, const Threshold<T>&) the bits x[j] >= threshold of a block, channel 0 in bit 0
//   ge(const T* x, const T* threshold)  the same with a threshold a channel
//   ge_tail(x, threshold, n)            for both: only n channels, 0 < n < block, are read; the other bits are 0

constexpr size_t kBlock = 8 * sizeof(Bits);

template <class T, class Thresholds>
BITWRIGHT_INLINE void pack_tail(uint32_t* bits, const T* x, const Thresholds& t, size_t n) {
  const Bits word = ge_tail(x, t, static_cast<uint32_t>(n));
  bits[0] = static_cast<uint32_t>(word);
  if (n > 32) bits[1] = static_cast<uint32_t>(static_cast<uint64_t>(word) >> 32);
}

template <class T>
void pack_rows(const PackRows& job) {
  const T* threshold = static_cast<const T*>(job.threshold);
  const size_t whole = job.count / kBlock * kBlock, rest = job.count - whole;
  const auto* row = static_cast<const char*>(job.x);
  uint32_t* bits = job.bits;
  if (job.per_channel) {
    for (size_t r = 0; r < job.rows; ++r, row += job.x_stride, bits += job.bits_stride) {
      const T* x = reinterpret_cast<const T*>(row);
      for (size_t c = 0; c < whole; c += kBlock) {
        const Bits word = ge(x + c, threshold + c);
        std::memcpy(bits + c / 32, &word, sizeof word);
      }
      if (rest != 0) pack_tail(bits + whole / 32, x + whole, threshold + whole, rest);
    }
    return;
  }
  const Threshold<T> one(threshold);
  for (size_t r = 0; r < job.rows; ++r, row += job.x_stride, bits += job.bits_stride) {
    const T* x = reinterpret_cast<const T*>(row);
    size_t c = 0;
    for (; c + 4 * kBlock <= whole; c += 4 * kBlock) {
      Bits words[4];
      BITWRIGHT_UNROLL for (size_t k = 0; k < 4; ++k) words[k] = ge(x + c + k * kBlock, one);
      BITWRIGHT_UNROLL for (size_t k = 0; k < 4; ++k) std::memcpy(bits + c / 32 + k * sizeof(Bits) / 4, &words[k], sizeof(Bits));
    }
    for (; c < whole; c += kBlock) {
      const Bits word = ge(x + c, one);
      std::memcpy(bits + c / 32, &word, sizeof word);
    }
    if (rest != 0) pack_tail(bits + whole / 32, x + whole, one, rest);
  }
}
