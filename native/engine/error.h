// One exception type for the engine; the C ABI turns it into a status code, the Python module into an error class.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace bitwright {

enum class Status : int {
  kOk = 0,
  kArgument = 1,  // a wrong argument of a call
  kFile = 2,      // the file cannot be opened or read
  kModel = 3,     // a damaged, hostile, unsupported or too large model
  kInput = 4,     // an input of the wrong shape, type or content
  kKernel = 5,    // an unknown kernel, or one that this CPU cannot run
  kMemory = 6,    // out of memory
  kInternal = 7,  // a defect of the engine
};

class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string& message, int system_error = 0)
      : std::runtime_error(message), status(status), system_error(system_error) {}
  const Status status;
  const int system_error;  // errno of a kFile error, else 0
};

// Joins its arguments into one string: text("op ", 7, ": ...").
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(Status status, const Parts&... parts) {
  throw Error(status, text(parts...));
}

template <class... Parts>
[[noreturn]] void bad_model(const Parts&... parts) {
  throw Error(Status::kModel, text(parts...));
}

}  // namespace bitwright
