#include "terrane.h"

#if __has_include(<stdlib.h>)
#include <stdlib.h>
#include <string.h>
#else
#include "nolibc.h"
#endif

// The functions of terrane as they are in the ABI; docs/hostcalls.md describes them.
#define HOSTCALL(name) __attribute__((import_module("env"), import_name("hostcall_" #name))) host_##name

void HOSTCALL(init_mm)(void *(*malloc)(size_t), void (*free)(void *));
void HOSTCALL(panic_hook)(const char *text, size_t len);
void HOSTCALL(debug)(const char *text, size_t len);
void HOSTCALL(log)(int level, const char *text, size_t len);
void HOSTCALL(edge_name)(char **out, size_t *out_len);
void HOSTCALL(edge_region)(char **out, size_t *out_len);
void HOSTCALL(request_id)(char **out, size_t *out_len);
void HOSTCALL(req_get_method)(char **out, size_t *out_len, int req);
void HOSTCALL(req_get_path)(char **out, size_t *out_len, int req);
void HOSTCALL(req_get_body)(char **out, size_t *out_len, int req);
void HOSTCALL(req_get_headers)(slice **out, size_t *out_len, int req);
void HOSTCALL(req_get_header)(slice **out, size_t *out_len, int req, const char *name, size_t len);
int HOSTCALL(resp_set_header)(int resp, const char *name, size_t len, const slice *values, size_t n);
int HOSTCALL(resp_set_body)(int resp, const char *body, size_t len);
int HOSTCALL(resp_set_response_code)(int resp, int code);
int HOSTCALL(resp_send_chunk)(int resp, const char *chunk, size_t len);
int HOSTCALL(req_create)(const char *method, size_t method_len, const char *url, size_t url_len);
int HOSTCALL(req_set_header)(int req, const char *name, size_t len, const slice *values, size_t n);
int HOSTCALL(req_set_body)(int req, const char *body, size_t len);
int HOSTCALL(req_set_timeout)(int req, uint32_t milliseconds);
int HOSTCALL(req_send)(int req);
int HOSTCALL(req_send_streaming)(int req);
int HOSTCALL(req_send_async)(int req);
int HOSTCALL(pending_req_wait)(int pending);
int HOSTCALL(pending_req_poll)(int pending);
int HOSTCALL(pending_req_select)(const int *pending, size_t n, int *done);
int HOSTCALL(resp_get_response_code)(int resp);
int HOSTCALL(resp_read)(int resp, char *buffer, size_t len);
void HOSTCALL(resp_get_headers)(slice **out, size_t *out_len, int resp);
void HOSTCALL(resp_get_header)(slice **out, size_t *out_len, int resp, const char *name, size_t len);
void HOSTCALL(resp_get_body)(char **out, size_t *out_len, int resp);
int HOSTCALL(kvstore_get)(char **out, size_t *out_len, const char *key, size_t len);
int HOSTCALL(kvstore_insert)(const char *key, size_t key_len, const char *value, size_t len);
int HOSTCALL(kvstore_upsert)(const char *key, size_t key_len, const char *value, size_t len);
int HOSTCALL(kvstore_append)(const char *key, size_t key_len, const char *value, size_t len);
int HOSTCALL(kvstore_remove)(const char *key, size_t len);
int HOSTCALL(kvstore_increment)(const char *key, size_t len, int64_t delta, int ttl, int64_t *sum);
int HOSTCALL(kvstore_get_version)(char **out, size_t *out_len, uint64_t *version, const char *key, size_t len);
uint64_t HOSTCALL(kvstore_put)(const char *key, size_t key_len, const char *value, size_t len, uint64_t version, uint32_t ttl);
void HOSTCALL(kvstore_list)(slice **out, size_t *out_len, const char *prefix, size_t prefix_len, const char *after, size_t after_len, uint32_t limit);
int HOSTCALL(dns_query_ip)(slice **out, size_t *out_len, const char *name, size_t len, int ipv6);
int HOSTCALL(dns_query_raw)(char **out, size_t *out_len, const char *query, size_t len);
int HOSTCALL(publish)(const char *subject, size_t subject_len, const char *message, size_t len);
int HOSTCALL(request)(const char *subject, size_t subject_len, const char *message, size_t len);
int HOSTCALL(env_get)(char **out, size_t *out_len, const char *name, size_t len);
void HOSTCALL(last_error)(char **out, size_t *out_len);
int64_t HOSTCALL(time_now)(uint32_t *nanos);
int64_t HOSTCALL(rng_next_u64)(void);

enum { INCOMING = 0, OUTGOING = 0 };

// The entry. The host allocates what it hands over with these two functions.
__attribute__((export_name("run"))) void run(void) {
    host_init_mm(malloc, free);
    handle();
}

slice request_method(void) {
    slice s = {0};
    host_req_get_method(&s.ptr, &s.len, INCOMING);
    return s;
}

static slice request_target(void) {
    slice s = {0};
    host_req_get_path(&s.ptr, &s.len, INCOMING);
    return s;
}

slice request_path(void) {
    slice s = request_target();
    char *query = s.ptr ? strchr(s.ptr, '?') : NULL;
    if (query) {
        *query = '\0';
        s.len = query - s.ptr;
    }
    return s;
}

slice request_query(void) {
    slice s = request_target();
    char *query = s.ptr ? strchr(s.ptr, '?') : NULL;
    return query ? str(query + 1) : str("");
}

slice request_body(void) {
    slice s = {0};
    host_req_get_body(&s.ptr, &s.len, INCOMING);
    return s;
}

slices request_headers(void) {
    slices list = {0};
    host_req_get_headers(&list.ptr, &list.len, INCOMING);
    return list;
}

slices request_header_values(const char *name) {
    slices list = {0};
    host_req_get_header(&list.ptr, &list.len, INCOMING, name, strlen(name));
    return list;
}

static slice first(slices list) { return list.len ? list.ptr[0] : (slice){0}; }

slice request_header(const char *name) { return first(request_header_values(name)); }

slice request_param(const char *name) { return param(request_query(), name); }

bool response_status(int code) { return host_resp_set_response_code(OUTGOING, code) == 0; }

bool response_header(const char *name, const char *value) {
    slice v = str(value);
    return host_resp_set_header(OUTGOING, name, strlen(name), &v, 1) == 0;
}

bool response_body(slice body) { return host_resp_set_body(OUTGOING, body.ptr, body.len) == 0; }

bool response_chunk(slice chunk) { return host_resp_send_chunk(OUTGOING, chunk.ptr, chunk.len) == 0; }

bool reply(int code, const char *content_type, const char *body) {
    return response_status(code) && response_header("content-type", content_type) && response_body(str(body));
}

int fetch_new(const char *method, const char *url) {
    return host_req_create(method, strlen(method), url, strlen(url));
}

bool fetch_header(int request, const char *name, const char *value) {
    slice v = str(value);
    return host_req_set_header(request, name, strlen(name), &v, 1) == 0;
}

bool fetch_body(int request, slice body) { return host_req_set_body(request, body.ptr, body.len) == 0; }

bool fetch_timeout(int request, uint32_t milliseconds) { return host_req_set_timeout(request, milliseconds) == 0; }

int fetch_stream(int request) { return request < 0 ? request : host_req_send_streaming(request); }

int fetch_send(int request) { return request < 0 ? request : host_req_send(request); }

int fetch_start(int request) { return request < 0 ? request : host_req_send_async(request); }

int fetch_wait(int pending) { return pending < 0 ? pending : host_pending_req_wait(pending); }

int fetch_poll(int pending) { return host_pending_req_poll(pending); }

int fetch_select(const int *pending, size_t n, int *done) { return host_pending_req_select(pending, n, done); }

int fetch_read(int response, char *buffer, size_t len) { return host_resp_read(response, buffer, len); }

int fetch_status(int response) { return host_resp_get_response_code(response); }

slices fetch_response_headers(int response) {
    slices list = {0};
    host_resp_get_headers(&list.ptr, &list.len, response);
    return list;
}

slice fetch_response_header(int response, const char *name) {
    slices list = {0};
    host_resp_get_header(&list.ptr, &list.len, response, name, strlen(name));
    return first(list);
}

slice fetch_response_body(int response) {
    slice s = {0};
    host_resp_get_body(&s.ptr, &s.len, response);
    return s;
}

bool publish(const char *subject, slice m) { return host_publish(subject, strlen(subject), m.ptr, m.len) == 0; }
int request(const char *subject, slice m) { return host_request(subject, strlen(subject), m.ptr, m.len); }

slice kv_get(const char *key) {
    slice s = {0};
    host_kvstore_get(&s.ptr, &s.len, key, strlen(key));
    return s;
}

bool kv_set(const char *key, slice v) { return host_kvstore_insert(key, strlen(key), v.ptr, v.len); }
bool kv_add(const char *key, slice v) { return host_kvstore_upsert(key, strlen(key), v.ptr, v.len); }
bool kv_append(const char *key, slice v) { return host_kvstore_append(key, strlen(key), v.ptr, v.len); }
bool kv_remove(const char *key) { return host_kvstore_remove(key, strlen(key)); }

int64_t kv_increment(const char *key, int64_t delta, int ttl) {
    int64_t sum = 0;
    host_kvstore_increment(key, strlen(key), delta, ttl, &sum);
    return sum;
}

slice kv_get_version(const char *key, uint64_t *version) {
    slice s = {0};
    host_kvstore_get_version(&s.ptr, &s.len, version, key, strlen(key));
    return s;
}

uint64_t kv_put(const char *key, slice v, uint64_t version, uint32_t ttl) {
    return host_kvstore_put(key, strlen(key), v.ptr, v.len, version, ttl);
}

slices kv_list(const char *prefix, const char *after, uint32_t limit) {
    slices list = {0};
    host_kvstore_list(&list.ptr, &list.len, prefix, strlen(prefix), after, strlen(after), limit);
    return list;
}

slice env(const char *name) {
    slice s = {0};
    host_env_get(&s.ptr, &s.len, name, strlen(name));
    return s;
}

slice last_error(void) {
    slice s = {0};
    host_last_error(&s.ptr, &s.len);
    return s;
}

slice edge_name(void) {
    slice s = {0};
    host_edge_name(&s.ptr, &s.len);
    return s;
}

slice edge_region(void) {
    slice s = {0};
    host_edge_region(&s.ptr, &s.len);
    return s;
}

slice request_id(void) {
    slice s = {0};
    host_request_id(&s.ptr, &s.len);
    return s;
}

slices dns_lookup(const char *name, bool ipv6) {
    slices list = {0};
    host_dns_query_ip(&list.ptr, &list.len, name, strlen(name), ipv6);
    return list;
}

slice dns_query(slice message) {
    slice s = {0};
    host_dns_query_raw(&s.ptr, &s.len, message.ptr, message.len);
    return s;
}

int64_t time_now(void) { return host_time_now(NULL); }
uint64_t random_u64(void) { return host_rng_next_u64(); }
void log_line(const char *text) { host_debug(text, strlen(text)); }
void log_at(int level, const char *text) { host_log(level, text, strlen(text)); }

_Noreturn void panic(const char *text) {
    host_panic_hook(text, strlen(text));
    __builtin_trap();
}

slice str(const char *text) { return (slice){(char *)text, strlen(text)}; }

bool same(slice s, const char *text) {
    return s.len == strlen(text) && (s.len == 0 || memcmp(s.ptr, text, s.len) == 0);
}

static slice before(slice s, char end) {
    char *at = s.len ? memchr(s.ptr, end, s.len) : NULL;
    return at ? (slice){s.ptr, at - s.ptr} : s;
}

slice param(slice form, const char *name) {
    for (char *p = form.ptr, *end = form.ptr + form.len; p < end;) {
        slice pair = before((slice){p, end - p}, '&');
        slice key = before(pair, '=');
        if (same(unescape(key), name)) {
            size_t skip = key.len < pair.len ? key.len + 1 : key.len;
            return unescape((slice){pair.ptr + skip, pair.len - skip});
        }
        p += pair.len + 1;
    }
    return (slice){0};
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

slice unescape(slice s) {
    char *out = malloc(s.len + 1);
    if (!out) abort();
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%' && i + 2 < s.len && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
            out[n++] = hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]);
            i += 2;
        } else {
            out[n++] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
        }
    }
    out[n] = '\0';
    return (slice){out, n};
}

void put_slice(buffer *out, slice s) {
    size_t need = out->text.len + s.len + 1;
    if (need > out->room) {
        size_t room = need * 2;
        char *bigger = malloc(room);
        if (!bigger) abort();
        if (out->text.len) memcpy(bigger, out->text.ptr, out->text.len);
        free(out->text.ptr);
        out->text.ptr = bigger;
        out->room = room;
    }
    if (s.len) memcpy(out->text.ptr + out->text.len, s.ptr, s.len);
    out->text.len += s.len;
    out->text.ptr[out->text.len] = '\0';
}

void put(buffer *out, const char *text) { put_slice(out, str(text)); }

void put_html(buffer *out, slice s) {
    for (size_t i = 0; i < s.len; i++) {
        switch (s.ptr[i]) {
        case '&': put(out, "&amp;"); break;
        case '<': put(out, "&lt;"); break;
        case '>': put(out, "&gt;"); break;
        case '"': put(out, "&quot;"); break;
        case '\'': put(out, "&#39;"); break;
        default: put_slice(out, (slice){s.ptr + i, 1});
        }
    }
}

void put_number(buffer *out, int64_t n) {
    char digits[20], *p = digits + sizeof digits;
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do *--p = '0' + rest % 10;
    while (rest /= 10);
    if (n < 0) put(out, "-");
    put_slice(out, (slice){p, digits + sizeof digits - p});
}
