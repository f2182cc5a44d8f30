//go:build engine_wasmer

#define _GNU_SOURCE
#include "shim.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Go's part: calls the function of the index for the guest of the handle.
extern void terraneHostFunction(uintptr_t handle, uint32_t index, uint64_t *stack);

// byte_t is char in wasm.h, and what is in a memory is not.
extern char *wasm_memory_data(wasm_memory_t *);
uint8_t *memory_data(wasm_memory_t *m) { return (uint8_t *)wasm_memory_data(m); }

// The guest that this thread is in.
static _Thread_local uintptr_t current;

static wasm_trap_t *callback(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
  const host_func *f = env;
  uint64_t stack[MAX_PARAMS] = {0};
  for (size_t i = 0; i < args->size && i < MAX_PARAMS; i++) {
    const wasm_val_t *v = &args->data[i];
    stack[i] = v->kind == WASM_I64 ? (uint64_t)v->of.i64 : (uint32_t)v->of.i32;
  }
  wasm_val_vec_delete((wasm_val_vec_t *)args); // libwasmer forgets it
  terraneHostFunction(current, f->index, stack);
  if (f->result != NO_RESULT) { // libwasmer reads the result where it is told, and frees nothing
    static _Thread_local wasm_val_t result;
    result.kind = f->result;
    if (f->result == WASM_I64)
      result.of.i64 = (int64_t)stack[0];
    else
      result.of.i32 = (int32_t)stack[0];
    wasm_val_vec_delete(results);
    *results = (wasm_val_vec_t){1, &result};
  }
  return NULL;
}

static void keep(void *env) { (void)env; }

void code_import(code *c, uint32_t index, const uint8_t *params, size_t n, wasm_valkind_t result) {
  wasm_valtype_vec_t in, out;
  wasm_valtype_vec_new_uninitialized(&in, n);
  for (size_t i = 0; i < n; i++)
    in.data[i] = wasm_valtype_new(params[i]);
  wasm_valtype_vec_new_uninitialized(&out, result != NO_RESULT);
  if (result != NO_RESULT)
    out.data[0] = wasm_valtype_new(result);
  wasm_functype_t *type = wasm_functype_new(&in, &out);
  host_func *f = &c->funcs[c->imports++];
  *f = (host_func){.index = index, .result = result};
  f->func = wasm_func_new_with_env(c->store, type, callback, f, keep);
  wasm_valtype_vec_delete((wasm_valtype_vec_t *)wasm_functype_params(type)); // libwasmer forgets them
  wasm_valtype_vec_delete((wasm_valtype_vec_t *)wasm_functype_results(type));
  wasm_functype_delete(type);
}

// conclude takes a trap apart and frees it.
static void conclude(wasm_trap_t *trap, ending *e) {
  e->failed = true;
  e->frames = 0;
  wasm_byte_vec_t message;
  wasm_trap_message(trap, &message);
  size_t n = message.size < MAX_REASON ? message.size : MAX_REASON - 1;
  memcpy(e->reason, message.data, n);
  e->reason[n] = 0;
  wasm_byte_vec_delete(&message);
  wasm_frame_vec_t frames;
  wasm_trap_trace(trap, &frames);
  for (size_t i = 0; i < frames.size && i < MAX_FRAMES; i++)
    e->functions[e->frames++] = wasm_frame_func_index(frames.data[i]);
  wasm_frame_vec_delete(&frames);
  wasm_trap_delete(trap);
}

// complain says why libwasmer has returned nothing.
static void complain(ending *e) {
  e->failed = true;
  e->frames = 0;
  int n = wasmer_last_error_length();
  if (n <= 0 || n > MAX_REASON || wasmer_last_error_message(e->reason, n) < 0)
    strcpy(e->reason, "libwasmer does not say why");
}

void code_new(code *c, const uint8_t *bytes, size_t n, bool compiled, size_t imports, ending *e) {
  memset(c, 0, sizeof *c);
  c->engine = wasm_engine_new();
  c->store = wasm_store_new(c->engine);
  wasm_byte_vec_t vec = {n, (char *)bytes};
  c->module = compiled ? wasm_module_deserialize(c->store, &vec) : wasm_module_new(c->store, &vec);
  c->funcs = calloc(imports + 1, sizeof *c->funcs);
  if (c->module == NULL)
    complain(e);
}

wasm_byte_vec_t code_bytes(const code *c) {
  wasm_byte_vec_t bytes = {0};
  wasm_module_serialize(c->module, &bytes);
  return bytes;
}

void code_delete(code *c) {
  for (size_t i = 0; i < c->imports; i++)
    wasm_func_delete(c->funcs[i].func);
  free(c->funcs);
  if (c->module != NULL)
    wasm_module_delete(c->module);
  wasm_store_delete(c->store);
  wasm_engine_delete(c->engine);
}

void guest_new(guest *g, const code *c, ending *e) {
  wasm_extern_t **externs = calloc(c->imports + 1, sizeof *externs);
  for (size_t i = 0; i < c->imports; i++)
    externs[i] = wasm_func_as_extern(c->funcs[i].func);
  wasm_extern_vec_t vec = {c->imports, externs};
  wasm_trap_t *trap = NULL;
  g->instance = wasm_instance_new(c->store, c->module, &vec, &trap);
  free(externs);
  if (trap != NULL)
    conclude(trap, e);
  else if (g->instance == NULL)
    complain(e);
  else
    wasm_instance_exports(g->instance, &g->exports);
}

void guest_delete(guest *g) {
  wasm_extern_vec_delete(&g->exports);
  wasm_instance_delete(g->instance);
}

wasm_extern_t *guest_export(guest *g, size_t i) { return i < g->exports.size ? g->exports.data[i] : NULL; }

// left is what the calling thread has of its stack.
static size_t left(void) {
  static _Thread_local char *lowest;
  if (lowest == NULL) {
    pthread_attr_t attr;
    void *low = NULL;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
      return 0;
    pthread_attr_getstack(&attr, &low, &size);
    pthread_attr_destroy(&attr);
    lowest = low;
  }
  return (char *)__builtin_frame_address(0) - lowest;
}

void guest_call(wasm_func_t *f, uintptr_t handle, int32_t *args, size_t n, bool result, size_t reserve, ending *e) {
  if (left() < reserve) {
    e->failed = true;
    e->frames = 0;
    strcpy(e->reason, "call stack exhausted");
    return;
  }
  wasm_val_t in[2] = {{.kind = WASM_I32, .of.i32 = args[0]}, {.kind = WASM_I32, .of.i32 = args[1]}};
  wasm_val_t out[1] = {{.kind = WASM_I32}};
  wasm_val_vec_t params = {n, n > 0 ? in : NULL}, results = {result, result ? out : NULL};
  uintptr_t outer = current;
  current = handle;
  wasm_trap_t *trap = wasm_func_call(f, &params, &results);
  current = outer;
  if (trap != NULL) {
    conclude(trap, e);
    return;
  }
  e->failed = false;
  args[0] = out[0].of.i32;
}

size_t thread_stack(void) {
  pthread_attr_t attr;
  size_t size = 0;
  if (pthread_attr_init(&attr) == 0) {
    pthread_attr_getstacksize(&attr, &size);
    pthread_attr_destroy(&attr);
  }
  return size;
}

uint64_t heap(void) {
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

int32_t global_get(const wasm_global_t *g) {
  wasm_val_t v;
  wasm_global_get(g, &v);
  return v.of.i32;
}

void global_set(wasm_global_t *g, int32_t v) {
  wasm_val_t val = {.kind = WASM_I32, .of.i32 = v};
  wasm_global_set(g, &val);
}
