// terrane for guests in C: this header, terrane.c, and a libc (wasi-libc, or
// the small nolibc.c).
//
// A guest is one function, which terrane calls once for each request in an
// instance of its own: variables do not outlive it, and the kv functions are
// what does. Until it returns, the response can be changed in any order.
//
//     #include "terrane.h"
//
//     void handle(void) {
//         reply(200, "text/plain", "hello\n");
//     }
//
// What these functions return is NUL-terminated, belongs to the guest, and
// need not be freed: the instance ends with the request.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that may contain NULs. ptr is NULL when there is nothing at all.
typedef struct {
    char *ptr;
    size_t len;
} slice;

typedef struct {
    slice *ptr;
    size_t len;
} slices;

// The guest's own part, called once.
void handle(void);

// The request.
slice request_method(void);
slice request_path(void);                 // without the query, escapes as received
slice request_query(void);                // what follows '?', empty if none
slice request_body(void);
slice request_header(const char *name);   // its first value
slices request_headers(void);             // all names, in lower case
slices request_header_values(const char *name);
slice request_param(const char *name);    // from the query, decoded

// The response: 200 with an empty body, unless these say otherwise. False: the host
// refuses it, last_error tells why, and unless another takes its place the answer is 500.
bool response_status(int code);
bool response_header(const char *name, const char *value); // replaces the name's values
bool response_body(slice body);
// Sends a part of the body to the visitor at once; status, headers and the body so far go before
// the first one, and cannot be set any more.
bool response_chunk(slice chunk);
bool reply(int code, const char *content_type, const char *body); // the three in one

// Outbound requests. Handles below 0 mean that there is none.
int fetch_new(const char *method, const char *url);
bool fetch_header(int request, const char *name, const char *value); // false: refused,
bool fetch_body(int request, slice body); // and unless set again the request is not sent
bool fetch_timeout(int request, uint32_t milliseconds); // redirects and body included; 0: the host's own
int fetch_send(int request);              // waits; returns a response
int fetch_stream(int request);            // the same, once the header has arrived: see fetch_read
int fetch_start(int request);             // returns at once, with a pending request
int fetch_wait(int pending);              // returns its response
int fetch_poll(int pending);              // the same, or FETCH_PENDING while there is none yet
// Waits for the first of n pending requests, writes which one to done, and returns its response.
int fetch_select(const int *pending, size_t n, int *done);
enum { FETCH_PENDING = -2 };
int fetch_status(int response);
slice fetch_response_header(int response, const char *name);
slices fetch_response_headers(int response);
slice fetch_response_body(int response);
// Reads what has arrived of the body, at least one byte. 0: it has ended; below 0: it broke off.
int fetch_read(int response, char *buffer, size_t len);

// Messages to the modules of this folder whose [[subscribe]] takes the subject.
bool publish(const char *subject, slice message); // true: kept, and handled at least once
int request(const char *subject, slice message);  // waits; returns a response, for fetch_status and so on

// The tenant's key-value store, shared by all its requests. The functions that
// write tell whether the key was absent before.
slice kv_get(const char *key);
bool kv_set(const char *key, slice value);    // overwrites (the host's "insert")
bool kv_add(const char *key, slice value);    // does not (the host's "upsert")
bool kv_append(const char *key, slice value);
bool kv_remove(const char *key);
// Adds to a number, atomically, and returns the sum; an absent key counts as 0. ttl > 0
// removes a new key that many seconds later. 0 if the value is no number.
int64_t kv_increment(const char *key, int64_t delta, int ttl);
// The value and its version, 0 if the key is absent.
slice kv_get_version(const char *key, uint64_t *version);
// Sets the value if the key has the version (0: it is absent; KV_ANY: whatever is there), and returns
// the new version; 0: it has another. ttl > 0 removes the key that many seconds later.
uint64_t kv_put(const char *key, slice value, uint64_t version, uint32_t ttl);
#define KV_ANY UINT64_MAX
// The first keys, at most limit and 1000, that begin with prefix and sort behind after.
slices kv_list(const char *prefix, const char *after, uint32_t limit);

slice env(const char *name);              // a value of the manifest's [env]
slice last_error(void);                   // why the last call that failed did
slice edge_name(void);                    // of the edge that runs this instance
slice edge_region(void);                  // NULL if it has none
slice request_id(void);                   // as in the log and in the header Terrane-Request-Id

int64_t time_now(void);                   // seconds since 1970
uint64_t random_u64(void);                // of cryptographic quality
void log_line(const char *text);          // to the tenant's log, for debugging
void log_at(int level, const char *text); // the same at a level
enum { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
_Noreturn void panic(const char *text);   // logs the text as an error, and ends in a 500

// DNS. The addresses of a name, each of 4 bytes, or of 16 if ipv6; a message (RFC 1035) for a resolver.
slices dns_lookup(const char *name, bool ipv6);
slice dns_query(slice message);           // NULL: there is no answer

// Text.
slice str(const char *text);              // its bytes, without the NUL
bool same(slice s, const char *text);
slice param(slice form, const char *name); // from an urlencoded form, decoded
slice unescape(slice s);                   // decodes %41 and +

// A buffer that grows. Starts as {0}; out.text.ptr is NUL-terminated once
// something was put.
typedef struct {
    slice text;
    size_t room;
} buffer;

void put(buffer *out, const char *text);
void put_slice(buffer *out, slice s);
void put_html(buffer *out, slice s);      // safe between tags and in quoted attributes
void put_number(buffer *out, int64_t n);
