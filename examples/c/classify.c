/* Runs a .bwm from C: zeros in, the class with the largest score out.
 *
 *   cmake -S . -B build/c -DBITWRIGHT_SHARED=ON -DBITWRIGHT_PYTHON=OFF && cmake --build build/c
 *   cc examples/c/classify.c -Inative/include -Lbuild/c/native -lbitwright -Wl,-rpath,build/c/native -o classify
 *   ./classify net.bwm
 */
#include <stdio.h>
#include <stdlib.h>

#include "bitwright.h"

static void check(bitwright_status status) {
  if (status == BITWRIGHT_OK) return;
  fprintf(stderr, "classify: %s\n", bitwright_error());
  exit(2);
}

int main(int argc, char** argv) {
  bitwright_model* model;
  bitwright_session* session;
  bitwright_tensor in, out;
  float *x, *y;
  size_t i, best = 0;
  if (argc != 2) {
    fprintf(stderr, "usage: classify model.bwm\n");
    return 2;
  }
  check(bitwright_model_open(argv[1], &model));
  check(bitwright_session_create(model, 1, NULL, &session));
  check(bitwright_model_input(model, 0, &in));
  check(bitwright_model_output(model, 0, &out));
  if (in.type != BITWRIGHT_F32 || out.type != BITWRIGHT_F32) {
    fprintf(stderr, "classify: the model's input and output must be float\n");
    return 2;
  }
  x = calloc(in.sample_elements, sizeof *x);
  y = calloc(out.sample_elements, sizeof *y);
  if (!x || !y) {
    fprintf(stderr, "classify: out of memory\n");
    return 2;
  }
  {
    const void* inputs[1];
    void* outputs[1];
    inputs[0] = x;
    outputs[0] = y;
    check(bitwright_session_run(session, 1, inputs, outputs));
  }
  for (i = 1; i < out.sample_elements; ++i)
    if (y[i] > y[best]) best = i;
  printf("%s: class %zu, score %g\n", argv[1], best, (double)y[best]);
  free(x);
  free(y);
  bitwright_session_close(session);
  bitwright_model_close(model);
  return 0;
}
