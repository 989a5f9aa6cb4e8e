/* The C interface of the bitwright engine: runs compiled 1-bit networks (.bwm files).
 *
 * Every function that can fail returns a status; bitwright_error() then tells what was wrong, in a sentence. No C++ exception leaves the library.
 * Models are immutable and sessions may be used by several threads at once. A session keeps its model alive.
 */
#ifndef BITWRIGHT_H
#define BITWRIGHT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(BITWRIGHT_BUILDING)
#define BITWRIGHT_API __declspec(dllexport)
#else
#define BITWRIGHT_API
#endif
#elif defined(__GNUC__)
#define BITWRIGHT_API __attribute__((visibility("default")))
#else
#define BITWRIGHT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bitwright_model bitwright_model;
typedef struct bitwright_session bitwright_session;

typedef enum bitwright_status {
  BITWRIGHT_OK = 0,
  BITWRIGHT_ERROR_ARGUMENT = 1, /* a wrong argument */
  BITWRIGHT_ERROR_FILE = 2,     /* the file cannot be opened or read */
  BITWRIGHT_ERROR_MODEL = 3,    /* damaged, unsupported, newer or too large model */
  BITWRIGHT_ERROR_INPUT = 4,    /* an input with impossible content, such as an id out of range */
  BITWRIGHT_ERROR_KERNEL = 5,   /* unknown kernel, or one that this CPU cannot run */
  BITWRIGHT_ERROR_MEMORY = 6,
  BITWRIGHT_ERROR_INTERNAL = 7
} bitwright_status;

/* BITWRIGHT_U8: pixels, 0 to 255, inputs only (since 1.1). */
typedef enum bitwright_type { BITWRIGHT_F32 = 1, BITWRIGHT_I32 = 3, BITWRIGHT_U8 = 4 } bitwright_type;

/* A model's input or output. Its shape is [N][dims[0]]...[dims[rank - 1]] with any batch size N; `sample_elements` is the product of dims. */
typedef struct bitwright_tensor {
  const char* name; /* lives as long as the model */
  bitwright_type type;
  uint32_t rank;
  uint32_t dims[4];
  size_t sample_elements;
} bitwright_tensor;

/* The version of this library's interface: major * 1000 + minor. */
BITWRIGHT_API uint32_t bitwright_version(void);

/* What went wrong in this thread's last call that failed; "" if none did. Valid until the thread's next call. */
BITWRIGHT_API const char* bitwright_error(void);

/* The file is mapped, not copied: replace it by renaming while it is open. */
BITWRIGHT_API bitwright_status bitwright_model_open(const char* path, bitwright_model** model);
/* The bytes are copied. */
BITWRIGHT_API bitwright_status bitwright_model_from_memory(const void* data, size_t size, bitwright_model** model);
BITWRIGHT_API void bitwright_model_close(bitwright_model* model); /* NULL is allowed */

BITWRIGHT_API size_t bitwright_model_inputs(const bitwright_model* model);
BITWRIGHT_API size_t bitwright_model_outputs(const bitwright_model* model);
BITWRIGHT_API bitwright_status bitwright_model_input(const bitwright_model* model, size_t index, bitwright_tensor* tensor);
BITWRIGHT_API bitwright_status bitwright_model_output(const bitwright_model* model, size_t index, bitwright_tensor* tensor);
/* The JSON object in the file, for people. Lives as long as the model. */
BITWRIGHT_API const char* bitwright_model_meta(const bitwright_model* model);

/* threads: 0 means as many as the process may use. kernel: NULL or "" for the environment variable BITWRIGHT_KERNEL or else the best; or an
 * instruction set ("avx2"), or kernel names, perhaps with a register tile, separated by commas ("bconv_avx2/3x64,epilogue_portable"). */
BITWRIGHT_API bitwright_status bitwright_session_create(const bitwright_model* model, unsigned threads, const char* kernel,
                                                        bitwright_session** session);
/* Times what this CPU can do for each layer (kernels, their register tiles, sizes of work items, fewer threads), with this batch size and the session's
 * threads, and keeps what is fastest for this session's further runs: some 80 ms a layer. The results of runs do not change. Not while another thread uses the session; not if kernels are forced. Since 1.2. */
BITWRIGHT_API bitwright_status bitwright_session_tune(bitwright_session* session, size_t batch);
BITWRIGHT_API void bitwright_session_close(bitwright_session* session); /* NULL is allowed */

/* inputs[i], outputs[i]: contiguous arrays of batch * sample_elements elements, aligned to the element, of the i-th input's or output's type. Outputs
 * overlap nothing. On an error the outputs hold anything. */
BITWRIGHT_API bitwright_status bitwright_session_run(bitwright_session* session, size_t batch, const void* const* inputs, void* const* outputs);

#ifdef __cplusplus
}
#endif

#endif
