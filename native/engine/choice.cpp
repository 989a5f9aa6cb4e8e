#include "choice.h"

#include <algorithm>

#include "error.h"

namespace bitwright {
namespace {

// A number from 1 to `most`, in digits alone.
uint32_t number(const std::string& digits, uint32_t most, const std::string& text) {
  uint64_t n = 0;
  bool good = !digits.empty() && digits.size() <= 10;
  for (char c : digits) good = good && c >= '0' && c <= '9', n = n * 10 + static_cast<uint64_t>(c - '0');
  if (!good || n < 1 || n > most) fail(Status::kKernel, "choice '", text, "': '", digits, "' is not a number from 1 to ", most);
  return static_cast<uint32_t>(n);
}

}  // namespace

Choice parse_choice(const std::string& text) {
  Choice choice;
  size_t at = std::min(text.find(' '), text.size());
  choice.kernel = text.substr(0, at);
  if (choice.kernel.empty()) fail(Status::kKernel, "choice '", text, "' names no kernel");
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at + 1), text.size()), equals = std::min(text.find('=', at), end);
    const std::string name = text.substr(at + 1, equals - at - 1), value = equals < end ? text.substr(equals + 1, end - equals - 1) : "";
    if (name == "pixels" && choice.pixels == 0)
      choice.pixels = number(value, kMostItemPixels, text);
    else if (name == "threads" && choice.threads == 0)
      choice.threads = number(value, kMostThreads, text);
    else
      fail(Status::kKernel, "choice '", text, "': '", name, "' is unknown or given twice; a kernel, then pixels=N and threads=N are expected");
    at = end;
  }
  return choice;
}

std::string text_of(const Choice& choice) {
  std::string text = choice.kernel;
  if (choice.pixels) text += " pixels=" + std::to_string(choice.pixels);
  if (choice.threads) text += " threads=" + std::to_string(choice.threads);
  return text;
}

}  // namespace bitwright
