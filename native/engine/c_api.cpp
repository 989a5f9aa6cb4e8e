// include/bitwright.h on top of Session.
#include "bitwright.h"

#include <exception>
#include <new>

#include "error.h"
#include "reader.h"
#include "session.h"
#include "tune.h"

struct bitwright_model {
  std::shared_ptr<const bitwright::Model> model;
};

struct bitwright_session {
  bitwright::SessionOptions options;
  std::unique_ptr<bitwright::Session> session;
};

namespace {

using bitwright::Error;
using bitwright::Status;

std::string& last_error() {
  static thread_local std::string message;
  return message;
}

bitwright_status remember(bitwright_status status, const char* message) noexcept {
  try {
    last_error() = message;
  } catch (...) {
    last_error().clear();
  }
  return status;
}

template <class Body>
bitwright_status guarded(const Body& body) noexcept {
  try {
    last_error().clear();
    body();
    return BITWRIGHT_OK;
  } catch (const Error& error) {
    return remember(static_cast<bitwright_status>(error.status), error.what());
  } catch (const std::bad_alloc&) {
    return remember(BITWRIGHT_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return remember(BITWRIGHT_ERROR_INTERNAL, error.what());
  } catch (...) {
    return remember(BITWRIGHT_ERROR_INTERNAL, "unknown error");
  }
}

void need(const void* pointer, const char* name) {
  if (!pointer) bitwright::fail(Status::kArgument, name, " is a null pointer");
}

void describe(const bitwright_model* model, const std::vector<uint32_t>& ids, size_t index, const char* role, bitwright_tensor* out) {
  if (index >= ids.size()) bitwright::fail(Status::kArgument, role, " ", index, ": the model has ", ids.size());
  const bitwright::ValueInfo& v = model->model->values[ids[index]];
  *out = bitwright_tensor{};
  out->name = v.name.c_str();
  out->type = v.dtype == bitwright::DType::kI32 ? BITWRIGHT_I32 : v.dtype == bitwright::DType::kU8 ? BITWRIGHT_U8 : BITWRIGHT_F32;
  out->sample_elements = v.pixels() * v.channels();
  for (uint8_t axis : v.axes)
    if (axis) out->dims[out->rank++] = v.dims[axis - 1];
}

}  // namespace

extern "C" {

uint32_t bitwright_version(void) { return 1002; }

const char* bitwright_error(void) { return last_error().c_str(); }

bitwright_status bitwright_model_open(const char* path, bitwright_model** model) {
  return guarded([&] {
    need(path, "path");
    need(model, "model");
    *model = nullptr;
    *model = new bitwright_model{bitwright::read_model_file(path)};
  });
}

bitwright_status bitwright_model_from_memory(const void* data, size_t size, bitwright_model** model) {
  return guarded([&] {
    need(model, "model");
    *model = nullptr;
    if (size) need(data, "data");
    *model = new bitwright_model{bitwright::read_model_bytes(data, size)};
  });
}

void bitwright_model_close(bitwright_model* model) { delete model; }

size_t bitwright_model_inputs(const bitwright_model* model) { return model ? model->model->inputs.size() : 0; }
size_t bitwright_model_outputs(const bitwright_model* model) { return model ? model->model->outputs.size() : 0; }

bitwright_status bitwright_model_input(const bitwright_model* model, size_t index, bitwright_tensor* tensor) {
  return guarded([&] {
    need(model, "model");
    need(tensor, "tensor");
    describe(model, model->model->inputs, index, "input", tensor);
  });
}

bitwright_status bitwright_model_output(const bitwright_model* model, size_t index, bitwright_tensor* tensor) {
  return guarded([&] {
    need(model, "model");
    need(tensor, "tensor");
    describe(model, model->model->outputs, index, "output", tensor);
  });
}

const char* bitwright_model_meta(const bitwright_model* model) { return model ? model->model->meta.c_str() : ""; }

bitwright_status bitwright_session_create(const bitwright_model* model, unsigned threads, const char* kernel, bitwright_session** session) {
  return guarded([&] {
    need(model, "model");
    need(session, "session");
    *session = nullptr;
    bitwright::SessionOptions options;
    options.threads = threads;
    if (kernel) options.kernel = kernel;
    *session = new bitwright_session{options, std::make_unique<bitwright::Session>(model->model, options)};
  });
}

bitwright_status bitwright_session_tune(bitwright_session* session, size_t batch) {
  return guarded([&] {
    need(session, "session");
    if (batch == 0 || batch > UINT32_MAX) bitwright::fail(Status::kArgument, "batch ", batch, ": 1 to ", UINT32_MAX, " samples are possible");
    session->options.choices = bitwright::tune_all(*session->session, static_cast<uint32_t>(batch));
    session->session = std::make_unique<bitwright::Session>(session->session->prepared().model, session->options);
  });
}

void bitwright_session_close(bitwright_session* session) { delete session; }

bitwright_status bitwright_session_run(bitwright_session* session, size_t batch, const void* const* inputs, void* const* outputs) {
  return guarded([&] {
    need(session, "session");
    need(inputs, "inputs");
    need(outputs, "outputs");
    if (batch == 0) return;
    const bitwright::Model& model = session->session->model();
    for (size_t i = 0; i < model.inputs.size(); ++i) need(inputs[i], "an input");
    for (size_t i = 0; i < model.outputs.size(); ++i) need(outputs[i], "an output");
    session->session->run_contiguous(batch, inputs, outputs);
  });
}

}  // extern "C"
