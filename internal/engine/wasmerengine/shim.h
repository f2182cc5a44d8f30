// What this package does with libwasmer, in as few calls as can be: a call from Go to C
// and back costs more than what is done in it.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The part of the WebAssembly C API (wasm.h) that is used. The header itself stands in
// the module of wasmer-go, where cgo cannot find it; a test compares the two.
#ifndef WASM_H
typedef struct wasm_engine_t wasm_engine_t;
typedef struct wasm_store_t wasm_store_t;
typedef struct wasm_module_t wasm_module_t;
typedef struct wasm_instance_t wasm_instance_t;
typedef struct wasm_trap_t wasm_trap_t;
typedef struct wasm_frame_t wasm_frame_t;
typedef struct wasm_extern_t wasm_extern_t;
typedef struct wasm_func_t wasm_func_t;
typedef struct wasm_global_t wasm_global_t;
typedef struct wasm_memory_t wasm_memory_t;
typedef struct wasm_valtype_t wasm_valtype_t;
typedef struct wasm_functype_t wasm_functype_t;
typedef uint8_t wasm_valkind_t;
enum { WASM_I32, WASM_I64 };
typedef struct wasm_val_t {
  wasm_valkind_t kind;
  union {
    int32_t i32;
    int64_t i64;
  } of;
} wasm_val_t;
typedef struct wasm_byte_vec_t { size_t size; char *data; } wasm_byte_vec_t;
typedef struct wasm_val_vec_t { size_t size; wasm_val_t *data; } wasm_val_vec_t;
typedef struct wasm_extern_vec_t { size_t size; wasm_extern_t **data; } wasm_extern_vec_t;
typedef struct wasm_frame_vec_t { size_t size; wasm_frame_t **data; } wasm_frame_vec_t;
typedef struct wasm_valtype_vec_t { size_t size; wasm_valtype_t **data; } wasm_valtype_vec_t;
typedef wasm_trap_t *(*wasm_func_callback_with_env_t)(void *, const wasm_val_vec_t *, wasm_val_vec_t *);
#endif

wasm_engine_t *wasm_engine_new();
void wasm_engine_delete(wasm_engine_t *);
wasm_store_t *wasm_store_new(wasm_engine_t *);
void wasm_store_delete(wasm_store_t *);
wasm_module_t *wasm_module_new(wasm_store_t *, const wasm_byte_vec_t *);
void wasm_module_delete(wasm_module_t *);
void wasm_module_serialize(const wasm_module_t *, wasm_byte_vec_t *);
wasm_module_t *wasm_module_deserialize(wasm_store_t *, const wasm_byte_vec_t *);
wasm_valtype_t *wasm_valtype_new(wasm_valkind_t);
void wasm_valtype_vec_new_uninitialized(wasm_valtype_vec_t *, size_t);
void wasm_valtype_vec_delete(wasm_valtype_vec_t *);
wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *, wasm_valtype_vec_t *);
const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *);
const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *);
void wasm_functype_delete(wasm_functype_t *);
wasm_func_t *wasm_func_new_with_env(wasm_store_t *, const wasm_functype_t *, wasm_func_callback_with_env_t, void *, void (*)(void *));
void wasm_func_delete(wasm_func_t *);
wasm_extern_t *wasm_func_as_extern(wasm_func_t *);
wasm_trap_t *wasm_func_call(const wasm_func_t *, const wasm_val_vec_t *, wasm_val_vec_t *);
void wasm_val_vec_delete(wasm_val_vec_t *);
wasm_instance_t *wasm_instance_new(wasm_store_t *, const wasm_module_t *, const wasm_extern_vec_t *, wasm_trap_t **);
void wasm_instance_exports(const wasm_instance_t *, wasm_extern_vec_t *);
void wasm_instance_delete(wasm_instance_t *);
void wasm_extern_vec_delete(wasm_extern_vec_t *);
wasm_func_t *wasm_extern_as_func(wasm_extern_t *);
wasm_global_t *wasm_extern_as_global(wasm_extern_t *);
wasm_memory_t *wasm_extern_as_memory(wasm_extern_t *);
void wasm_global_get(const wasm_global_t *, wasm_val_t *);
void wasm_global_set(wasm_global_t *, const wasm_val_t *);
size_t wasm_memory_data_size(const wasm_memory_t *);
bool wasm_memory_grow(wasm_memory_t *, uint32_t);
void wasm_trap_message(const wasm_trap_t *, wasm_byte_vec_t *);
void wasm_trap_trace(const wasm_trap_t *, wasm_frame_vec_t *);
void wasm_trap_delete(wasm_trap_t *);
uint32_t wasm_frame_func_index(const wasm_frame_t *);
void wasm_frame_vec_delete(wasm_frame_vec_t *);
void wasm_byte_vec_delete(wasm_byte_vec_t *);
int wasmer_last_error_length(void);
int wasmer_last_error_message(char *, int);

enum { NO_RESULT = 255, MAX_PARAMS = 16, MAX_FRAMES = 64, MAX_REASON = 512 };

// Why something has failed.
typedef struct ending {
  bool failed;
  uint32_t frames;
  uint32_t functions[MAX_FRAMES]; // innermost first
  char reason[MAX_REASON];        // ends with 0
} ending;

// A host function as a guest imports it.
typedef struct host_func {
  wasm_func_t *func;
  uint32_t index;        // in Go's list
  wasm_valkind_t result; // or NO_RESULT
} host_func;

// A module with all that it needs, its own engine too: what an engine remembers of
// modules and instances it forgets at its own end only.
typedef struct code {
  wasm_engine_t *engine;
  wasm_store_t *store;
  wasm_module_t *module;
  size_t imports;
  host_func *funcs; // in the order of the imports
} code;

typedef struct guest {
  wasm_instance_t *instance;
  wasm_extern_vec_t exports;
} guest;

// code_new compiles a module of n bytes, or takes over what code_bytes has given for one. Its
// imports are to be added before there are instances.
void code_new(code *, const uint8_t *bytes, size_t n, bool compiled, size_t imports, ending *);
// code_bytes is compiled code, for wasm_byte_vec_delete; without data if libwasmer does not give it.
wasm_byte_vec_t code_bytes(const code *);
void code_import(code *, uint32_t index, const uint8_t *params, size_t n, wasm_valkind_t result);
void code_delete(code *);

void guest_new(guest *, const code *, ending *);
void guest_delete(guest *);
wasm_extern_t *guest_export(guest *, size_t);
// guest_call calls a function of n parameters, all i32, for the Go value of the handle. args
// takes its result, if it has one. reserve is how much of the thread's stack there must be, in bytes.
void guest_call(wasm_func_t *, uintptr_t handle, int32_t *args, size_t n, bool result, size_t reserve, ending *);

// thread_stack is the size of new threads' stacks, in bytes.
size_t thread_stack(void);
// heap is what malloc has given to all that is not Go, in bytes.
uint64_t heap(void);
int32_t global_get(const wasm_global_t *);
void global_set(wasm_global_t *, int32_t);
uint8_t *memory_data(wasm_memory_t *);
