// Nibble tables, for the instruction sets that shuffle bytes but do not count bits. popcount(a ^ w) of 4 bits depends on two nibbles: the row of the
// table for the activation's nibble is loaded, the nibbles of the channels' weights index it. It has rows for every activation byte, 16 bytes for its
// low nibble and 16 for its high one (8 KiB): no nibble is taken apart at run time. Included inside namespace bitwright and an unnamed namespace.

// rows[byte][0][n] = popcount(low nibble ^ n), rows[byte][1][n] = popcount(high nibble ^ n).
struct Table {
  alignas(64) uint8_t rows[256][2][16];
};

constexpr uint8_t nibble_ones(unsigned v) { return static_cast<uint8_t>((v & 1) + (v >> 1 & 1) + (v >> 2 & 1) + (v >> 3 & 1)); }

constexpr Table make_table() {
  Table t{};
  for (unsigned byte = 0; byte < 256; ++byte)
    for (unsigned n = 0; n < 16; ++n) {
      t.rows[byte][0][n] = nibble_ones((byte & 15) ^ n);
      t.rows[byte][1][n] = nibble_ones((byte >> 4) ^ n);
    }
  return t;
}

constexpr Table table = make_table();

// The weights' nibbles are taken apart when they are packed: [taps*words][4 bytes][low, high][kPanel channels] bytes, twice the size of the bits.
template <uint32_t kPanel>
void pack_nibbles(void* panels, const uint32_t* weights, uint32_t outputs, uint32_t taps, uint32_t words) {
  const size_t steps = static_cast<size_t>(taps) * words;
  const uint32_t count = (outputs + kPanel - 1) / kPanel;
  uint8_t* to = static_cast<uint8_t*>(panels);
  for (uint32_t panel = 0; panel < count; ++panel)
    for (size_t k = 0; k < steps; ++k)
      for (uint32_t nibble = 0; nibble < 8; ++nibble)
        for (uint32_t lane = 0; lane < kPanel; ++lane) {
          const uint32_t channel = panel * kPanel + lane;
          const uint32_t word = channel < outputs ? weights[channel * steps + k] : 0;
          *to++ = static_cast<uint8_t>(word >> (4 * nibble) & 15u);
        }
}
