#define IMPORT(m, n) __attribute__((import_module(m), import_name(n)))
#define HTTP "wasi:http/types@0.2.12"
#define IO "wasi:io/streams@0.2.12"
#define EXPORT(n) __attribute__((export_name(n)))

IMPORT(HTTP, "[constructor]fields") int fields_new(void);
IMPORT(HTTP, "[method]fields.append") void fields_append(int self, const char *name, int name_len, const char *value, int value_len, void *ret);
IMPORT(HTTP, "[constructor]outgoing-response") int response_new(int fields);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(int self, void *ret);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(int self, void *ret);
IMPORT(HTTP, "[static]outgoing-body.finish") void body_finish(int self, int has_trailers, int trailers, void *ret);
IMPORT(HTTP, "[static]response-outparam.set") void outparam_set(int self, int is_err, int response, int, long long, int, int, int, int);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(int self, void *ret);
IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(int self);
IMPORT(IO, "[method]output-stream.blocking-write-and-flush") void stream_write(int self, const void *p, int n, void *ret);
IMPORT(IO, "[resource-drop]output-stream") void stream_drop(int self);

static unsigned char heap[16384];
static unsigned used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, unsigned old_size, unsigned align, unsigned size) {
  used = (used + align - 1) / align * align;
  if (used + size > sizeof heap || old_size) __builtin_trap();
  void *p = heap + used;
  used += size;
  return p;
}

static struct { int tag; int v[11]; } ret;

static void write(int stream, const char *p, int n) {
  stream_write(stream, p, n, &ret);
  if (ret.tag & 0xff) __builtin_trap();
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(int request, int out) {
  struct { unsigned char some; const char *p; int n; } path;
  request_path(request, &path);
  int fields = fields_new();
  fields_append(fields, "content-type", 12, "text/plain", 10, &ret);
  int response = response_new(fields);
  response_body(response, &ret);
  int body = ret.v[0];
  outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
  body_write(body, &ret);
  int stream = ret.v[0];
  write(stream, "hello ", 6);
  if (path.some) write(stream, path.p, path.n);
  write(stream, "\n", 1);
  stream_drop(stream);
  body_finish(body, 0, 0, &ret);
  request_drop(request);
}
