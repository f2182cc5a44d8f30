// The kit's guest in C: each path is one test, which answers "ok", or the line of
// the check that failed. It declares the ABI itself and has an allocator that
// traps when the host breaks its rules.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { u8 *ptr; u32 len; } slice;

#define ENV(name) __attribute__((import_module("env"), import_name("hostcall_" #name))) name
void ENV(init_mm)(void *(*malloc)(u32), void (*free)(void *));
void ENV(panic_hook)(const char *, u32);
void ENV(debug)(const char *, u32);
void ENV(req_get_header)(slice **, u32 *, int, const char *, u32);
void ENV(req_get_headers)(slice **, u32 *, int);
void ENV(req_get_method)(u8 **, u32 *, int);
void ENV(req_get_body)(u8 **, u32 *, int);
void ENV(req_get_path)(u8 **, u32 *, int);
int ENV(resp_set_header)(int, const char *, u32, const slice *, u32);
int ENV(resp_set_body)(int, const void *, u32);
int ENV(resp_set_response_code)(int, u32);
int ENV(req_create)(const char *, u32, const char *, u32);
int ENV(req_set_header)(int, const char *, u32, const slice *, u32);
int ENV(req_set_body)(int, const void *, u32);
int ENV(req_send)(int);
int ENV(req_send_async)(int);
int ENV(pending_req_wait)(int);
int ENV(pending_req_poll)(int);
int ENV(pending_req_select)(const int *, u32, int *);
void ENV(resp_get_headers)(slice **, u32 *, int);
void ENV(resp_get_header)(slice **, u32 *, int, const char *, u32);
void ENV(resp_get_body)(u8 **, u32 *, int);
u32 ENV(resp_get_response_code)(int);
int ENV(kvstore_get)(u8 **, u32 *, const char *, u32);
int ENV(kvstore_insert)(const char *, u32, const void *, u32);
int ENV(kvstore_upsert)(const char *, u32, const void *, u32);
int ENV(kvstore_append)(const char *, u32, const void *, u32);
int ENV(kvstore_remove)(const char *, u32);
u64 ENV(rng_next_u64)(void);
u64 ENV(time_now)(u32 *);
int ENV(dns_query_raw)(u8 **, u32 *, const void *, u32);
int ENV(dns_query_ip)(slice **, u32 *, const char *, u32, int);

int ENV(env_get)(u8 **, u32 *, const char *, u32);
void ENV(edge_name)(u8 **, u32 *);
void ENV(edge_region)(u8 **, u32 *);
void ENV(request_id)(u8 **, u32 *);
void ENV(last_error)(u8 **, u32 *);
void ENV(log)(int, const char *, u32);
int ENV(kvstore_get_version)(u8 **, u32 *, u64 *, const char *, u32);
u64 ENV(kvstore_put)(const char *, u32, const void *, u32, u64, u32);
int ENV(kvstore_increment)(const char *, u32, u64, u32, u64 *);
void ENV(kvstore_list)(slice **, u32 *, const char *, u32, const char *, u32, u32);
int ENV(req_set_timeout)(int, u32);
int ENV(req_send_streaming)(int);
int ENV(resp_read)(int, void *, u32);
int ENV(resp_send_chunk)(int, const void *, u32);
int ENV(publish)(const char *, u32, const void *, u32);
int ENV(request)(const char *, u32, const void *, u32);

// The allocator: blocks behind a header, dirty when given.

enum { MAGIC = 0x616c6c6f, FREED = 0x66726565 };
extern u8 __heap_base;
static u32 top, live;

static void *allocate(u32 n) {
    if (n == 0) __builtin_trap();
    if (!top) top = ((u32)&__heap_base + 15) & ~15u;
    u32 at = top;
    top = (top + 16 + n + 15) & ~15u;
    u32 have = __builtin_wasm_memory_size(0) * 65536;
    if (top > have && __builtin_wasm_memory_grow(0, (top - have + 65535) / 65536) == (u32)-1) return 0;
    u32 *head = (u32 *)at;
    head[0] = MAGIC;
    head[1] = n;
    u8 *block = (u8 *)at + 16;
    for (u32 i = 0; i < n; i++) block[i] = 0xaa;
    live++;
    return block;
}

static void release(void *block) {
    u32 *head = (u32 *)((u8 *)block - 16);
    if (head[0] != MAGIC) __builtin_trap();
    head[0] = FREED;
    live--;
}

// Text.

static u32 length(const char *s) {
    u32 n = 0;
    while (s[n]) n++;
    return n;
}

static int equal(const u8 *a, u32 n, const char *b) {
    if (n != length(b)) return 0;
    for (u32 i = 0; i < n; i++) if (a[i] != (u8)b[i]) return 0;
    return 1;
}

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ n) { // for the compiler
    for (u32 i = 0; i < n; i++) ((u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

static u8 page[4096];
static u32 written;

static void put(const void *s, u32 n) {
    for (u32 i = 0; i < n && written < sizeof page; i++) page[written++] = ((const u8 *)s)[i];
}

static void puts(const char *s) { put(s, length(s)); }

static void putn(u64 n) {
    char digits[20];
    u32 i = sizeof digits;
    do digits[--i] = '0' + n % 10; while (n /= 10);
    put(digits + i, sizeof digits - i);
}

static int failed;

#define CHECK(what) do { if (!(what)) { if (!failed) { puts("kit.c:"); putn(__LINE__); puts(": " #what); } failed = 1; return; } } while (0)
#define S(s) (s), sizeof(s) - 1

// Results as C passes them: from uninitialised locals.

#define BYTES(name) u8 *name = (u8 *)0x55555555; u32 name##_len = 0x55555555
#define LIST(name) slice *name = (slice *)0x55555555; u32 name##_len = 0x55555555
#define NONE(name) (name == 0 && name##_len == 0)

static int padded(const u8 *p, u32 n) {
    for (u32 i = 0; i < 32; i++) if (p[n + i]) return 0;
    return 1;
}

static int is(u8 *p, u32 n, const char *want) {
    if (!p || !equal(p, n, want) || !padded(p, n)) return 0;
    release(p);
    return 1;
}

static int has(slice *list, u32 n, const char *want) {
    for (u32 i = 0; i < n; i++) if (equal(list[i].ptr, list[i].len, want)) return 1;
    return 0;
}

static int drop(slice *list, u32 n) {
    for (u32 i = 0; i < n; i++) {
        if (!list[i].ptr || !padded(list[i].ptr, list[i].len)) return 0;
        release(list[i].ptr);
    }
    if (n) release(list);
    return 1;
}

static void t_request(void) {
    BYTES(method); req_get_method(&method, &method_len, 0); CHECK(is(method, method_len, "POST"));
    BYTES(path); req_get_path(&path, &path_len, 0); CHECK(is(path, path_len, "/request?q=a%20b"));
    BYTES(body); req_get_body(&body, &body_len, 0); CHECK(is(body, body_len, "the body"));
    LIST(names); req_get_headers(&names, &names_len, 0);
    CHECK(has(names, names_len, "host") && has(names, names_len, "x-many") && has(names, names_len, "fastly-client-ip"));
    CHECK(has(names, names_len, "x-empty") && !has(names, names_len, "X-Many"));
    CHECK(drop(names, names_len));
    LIST(many); req_get_header(&many, &many_len, 0, S("X-mAnY"));
    CHECK(many_len == 2 && equal(many[0].ptr, many[0].len, "one") && equal(many[1].ptr, many[1].len, "two"));
    CHECK(drop(many, many_len));
    LIST(empty); req_get_header(&empty, &empty_len, 0, S("x-empty"));
    CHECK(empty_len == 1 && empty[0].ptr && empty[0].len == 0 && drop(empty, empty_len));
    LIST(host); req_get_header(&host, &host_len, 0, S("Host"));
    CHECK(host_len == 1 && equal(host[0].ptr, host[0].len, "kit.example") && drop(host, host_len));
    LIST(ip); req_get_header(&ip, &ip_len, 0, S("fastly-client-ip"));
    CHECK(ip_len == 1 && ip[0].len > 6 && drop(ip, ip_len));
    LIST(absent); req_get_header(&absent, &absent_len, 0, S("x-absent")); CHECK(NONE(absent));
    LIST(dangling); req_get_header(&dangling, &dangling_len, 0, (char *)1, 0); CHECK(NONE(dangling));
    CHECK(live == 0);
}

static void t_nobody(void) {
    BYTES(body); req_get_body(&body, &body_len, 0); CHECK(NONE(body));
}

static void t_handles(void) {
    int handles[] = {1, 7, -1, -2, 0x7fffffff, -0x7fffffff - 1};
    slice v = {(u8 *)"v", 1};
    for (u32 i = 0; i < sizeof handles / sizeof *handles; i++) {
        int h = handles[i];
        BYTES(b); req_get_method(&b, &b_len, h); CHECK(NONE(b));
        BYTES(c); req_get_path(&c, &c_len, h); CHECK(NONE(c));
        BYTES(d); req_get_body(&d, &d_len, h); CHECK(NONE(d));
        LIST(e); req_get_headers(&e, &e_len, h); CHECK(NONE(e));
        LIST(f); req_get_header(&f, &f_len, h, S("host")); CHECK(NONE(f));
        LIST(g); resp_get_headers(&g, &g_len, h); CHECK(NONE(g));
        LIST(j); resp_get_header(&j, &j_len, h, S("host")); CHECK(NONE(j));
        BYTES(k); resp_get_body(&k, &k_len, h); CHECK(NONE(k));
        CHECK(resp_get_response_code(h) == 0);
        CHECK(resp_set_header(h, S("a"), &v, 1) == 1 && resp_set_body(h, "", 0) == 1 && resp_set_response_code(h, 200) == 1);
        CHECK(req_set_header(h, S("a"), &v, 1) == 1 && req_set_body(h, "", 0) == 1);
        CHECK(req_send(h) == -1 && req_send_async(h) == -1);
        CHECK(pending_req_wait(h) == -1 && pending_req_poll(h) == -1);
        int done = 5;
        CHECK(pending_req_select(&h, 1, &done) == -1 && done == h);
    }
    CHECK(req_set_header(0, S("a"), &v, 1) == 1 && req_set_body(0, "", 0) == 1);
    int done = 5;
    CHECK(pending_req_select((int *)1, 0, &done) == -1 && done == -1);
}

static void t_response(void) {
    slice five[] = {{(u8 *)"1", 1}, {(u8 *)"2", 1}, {(u8 *)"3", 1}, {(u8 *)"", 0}, {(u8 *)"5", 1}};
    slice bad = {(u8 *)"a\r\nb: c", 7};
    CHECK(resp_set_body(0, "replaced", 8) == 0);
    CHECK(resp_set_header(0, S("x-five"), five, 1) == 0);
    CHECK(resp_set_header(0, S("X-Five"), five, 5) == 0);
    CHECK(resp_set_header(0, S("x-gone"), five, 1) == 0 && resp_set_header(0, S("x-gone"), (slice *)1, 0) == 0);
    CHECK(resp_set_header(0, S("content-length"), five, 1) == 0);
    CHECK(resp_set_header(0, S("x-bad"), &bad, 1) == 1);
    CHECK(resp_set_header(0, S("x bad"), five, 1) == 1 && resp_set_header(0, (char *)1, 0, five, 1) == 1);
    CHECK(resp_set_response_code(0, 199) == 1 && resp_set_response_code(0, 1000) == 1 && resp_set_response_code(0, 70000) == 1);
    CHECK(resp_set_response_code(0, 418) == 0);
}

static void t_kv(void) {
    BYTES(absent); CHECK(kvstore_get(&absent, &absent_len, S("kit")) == 0 && NONE(absent));
    CHECK(kvstore_remove(S("kit")) == 0);
    CHECK(kvstore_insert(S("kit"), S("one")) == 1 && kvstore_insert(S("kit"), S("two")) == 0);
    BYTES(two); CHECK(kvstore_get(&two, &two_len, S("kit")) == 1 && is(two, two_len, "two"));
    CHECK(kvstore_upsert(S("kit"), S("three")) == 0);
    BYTES(same); CHECK(kvstore_get(&same, &same_len, S("kit")) == 1 && is(same, same_len, "two"));
    CHECK(kvstore_append(S("kit"), S("+")) == 0);
    BYTES(more); CHECK(kvstore_get(&more, &more_len, S("kit")) == 1 && is(more, more_len, "two+"));
    CHECK(kvstore_remove(S("kit")) == 1 && kvstore_upsert(S("kit"), (void *)1, 0) == 1);
    BYTES(empty); CHECK(kvstore_get(&empty, &empty_len, S("kit")) == 1 && empty && empty_len == 0 && is(empty, 0, ""));
    CHECK(kvstore_remove(S("kit")) == 1 && kvstore_append(S("kit"), S("a")) == 1 && kvstore_remove(S("kit")) == 1);
    CHECK(live == 0);
}

static void t_kept(void) { CHECK(kvstore_append(S("kept"), S("x")) >= 0); }

static void t_seen(void) {
    BYTES(v); CHECK(kvstore_get(&v, &v_len, S("kept")) == 1 && is(v, v_len, "xx"));
}

// The upstream's address is the body of the inbound request.
static int create(const char *method, const char *path) {
    BYTES(base); req_get_body(&base, &base_len, 0);
    u8 url[512];
    u32 n = 0;
    for (; n < base_len; n++) url[n] = base[n];
    for (u32 i = 0; path[i]; i++) url[n++] = path[i];
    release(base);
    return req_create(method, length(method), (char *)url, n);
}

static void t_fetch(void) {
    int req = create("PUT", "/echo?a=b");
    CHECK(req > 0);
    slice two[] = {{(u8 *)"one", 3}, {(u8 *)"two", 3}};
    slice host = {(u8 *)"upstream.example", 16}, agent = {(u8 *)"kit", 3}, len = {(u8 *)"999", 3}, bad = {(u8 *)"\n", 1};
    CHECK(req_set_header(req, S("x-many"), two, 2) == 0 && req_set_header(req, S("host"), &host, 1) == 0);
    CHECK(req_set_header(req, S("user-agent"), &agent, 1) == 0 && req_set_header(req, S("content-length"), &len, 1) == 0);
    CHECK(req_set_header(req, S("x-bad"), &bad, 1) == 1 && req_set_header(req, S("x-bad"), (slice *)1, 0) == 0);
    CHECK(req_set_body(req, S("data")) == 0);
    int resp = req_send(req);
    CHECK(resp > 0 && resp_get_response_code(resp) == 418);
    BYTES(body); resp_get_body(&body, &body_len, resp);
    CHECK(is(body, body_len, "PUT /echo?a=b upstream.example kit [one two] data"));
    LIST(many); resp_get_header(&many, &many_len, resp, S("X-MANY"));
    CHECK(many_len == 2 && equal(many[1].ptr, many[1].len, "two") && drop(many, many_len));
    LIST(names); resp_get_headers(&names, &names_len, resp);
    CHECK(has(names, names_len, "x-many") && drop(names, names_len));
    CHECK(req_send(req) == -1 && req_send(resp) == -1);
    int empty = req_send(create("GET", "/empty"));
    BYTES(none); resp_get_body(&none, &none_len, empty); CHECK(empty > 0 && NONE(none));
    CHECK(resp_get_response_code(empty) == 204 && live == 0);
}

// The upstream answers /meet only when two are there, and /last after /meet.
static void t_async(void) {
    int last = req_send_async(create("GET", "/last")), a = req_send_async(create("GET", "/meet?a"));
    CHECK(last > 0 && a > 0 && pending_req_poll(last) == -2 && pending_req_poll(a) == -2);
    int b = req_send_async(create("GET", "/meet?b"));
    CHECK(b > 0);
    int list[] = {a, b}, done = 0;
    int first = pending_req_select(list, 2, &done);
    CHECK(first > 0 && (done == a || done == b));
    int second = pending_req_wait(done == a ? b : a);
    CHECK(second > 0 && pending_req_wait(a) == -1 && pending_req_poll(b) == -1);
    BYTES(body); resp_get_body(&body, &body_len, second);
    CHECK(is(body, body_len, done == a ? "b" : "a"));
    int third;
    while ((third = pending_req_poll(last)) == -2) {}
    CHECK(third > 0 && resp_get_response_code(third) == 200);
}

static void t_fetchfail(void) {
    CHECK(req_create(S("GET"), S("/relative")) == -1 && req_create(S("G T"), S("http://a.example/")) == -1);
    CHECK(req_create((char *)1, 0, S("http://a.example/")) == -1 && req_create(S("GET"), S("gopher://a.example/")) == -1);
    CHECK(req_send(create("GET", "/abort")) == -1);
    int p = req_send_async(create("GET", "/abort")), done = 0;
    CHECK(p > 0 && pending_req_select(&p, 1, &done) == -1 && done == p);
    CHECK(req_send(create("GET", "/huge")) == -1);
}

static void t_count(void) {
    u32 n = 0;
    while (n < 1000 && req_send(create("GET", "/empty")) > 0) n++;
    CHECK(n == 5);
}

static void t_time(void) {
    u32 nanos = 0xffffffff;
    u64 now = time_now(&nanos);
    CHECK(now > 1700000000 && nanos < 1000000000 && time_now(0) >= now);
}

static void t_rng(void) {
    u64 a = rng_next_u64(), b = rng_next_u64();
    CHECK(a != b && a >> 32 != b >> 32);
}

static void t_dns(void) {
    LIST(v4); CHECK(dns_query_ip(&v4, &v4_len, S("four.example"), 0) == 1);
    CHECK(v4_len == 1 && v4[0].len == 4 && v4[0].ptr[0] == 192 && v4[0].ptr[3] == 4 && drop(v4, v4_len));
    LIST(v6); CHECK(dns_query_ip(&v6, &v6_len, S("six.example"), 1) == 1);
    CHECK(v6_len == 1 && v6[0].len == 16 && v6[0].ptr[15] == 6 && drop(v6, v6_len));
    LIST(no); CHECK(dns_query_ip(&no, &no_len, S("absent.example"), 0) == 0 && NONE(no));
    static const char query[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\4four\7example\0\0\1\0\1";
    BYTES(raw); CHECK(dns_query_raw(&raw, &raw_len, query, sizeof query - 1) == 1);
    CHECK(raw_len > sizeof query && raw[0] == 0x12 && raw[1] == 0x34 && raw[2] & 0x80);
    release(raw);
    BYTES(bad); CHECK(dns_query_raw(&bad, &bad_len, "hello", 5) == 0 && NONE(bad));
}

static void t_log(void) {
    debug(S("debug line"));
    debug("until NUL\0not this", -1);
    panic_hook(S("panic line"));
}

static void t_panic(void) {
    panic_hook(S("panicked at 'kit'"));
    __builtin_trap();
}

static void t_where(void) {
    BYTES(set); CHECK(env_get(&set, &set_len, S("GREETING")) == 1 && is(set, set_len, "hello"));
    BYTES(empty); CHECK(env_get(&empty, &empty_len, S("EMPTY")) == 1 && empty && is(empty, empty_len, ""));
    BYTES(none); CHECK(env_get(&none, &none_len, S("greeting")) == 0 && NONE(none));
    BYTES(edge); edge_name(&edge, &edge_len); CHECK(is(edge, edge_len, "edge1"));
    BYTES(region); edge_region(&region, &region_len); CHECK(is(region, region_len, "lab"));
    BYTES(id); request_id(&id, &id_len); CHECK(id && id_len && padded(id, id_len));
    log(0, S("level 0")); log(1, S("level 1")); log(2, S("level 2")); log(3, S("level 3")); log(-1, "level -1\0", -1);
}

static void t_versions(void) {
    u64 v = 7, first, second, n = 0;
    BYTES(none); CHECK(kvstore_get_version(&none, &none_len, &v, S("v")) == 0 && NONE(none) && v == 0);
    CHECK(kvstore_put(S("v"), S("a"), 5, 0) == 0);
    CHECK((first = kvstore_put(S("v"), S("a"), 0, 0)) != 0 && kvstore_put(S("v"), S("b"), 0, 0) == 0);
    BYTES(a); CHECK(kvstore_get_version(&a, &a_len, &v, S("v")) == 1 && v == first && is(a, a_len, "a"));
    CHECK((second = kvstore_put(S("v"), S("b"), first, 0)) != 0 && second != first && kvstore_put(S("v"), S("c"), first, 0) == 0);
    CHECK(kvstore_put(S("v"), S("d"), -1ull, 60) != 0);
    BYTES(d); CHECK(kvstore_get(&d, &d_len, S("v")) == 1 && is(d, d_len, "d"));
    CHECK(kvstore_increment(S("v"), 1, 0, &n) == 1 && n == 0);
    BYTES(why); last_error(&why, &why_len); CHECK(why_len > 20);
    release(why);
    CHECK(kvstore_increment(S("n"), 5, 60, &n) == 0 && n == 5 && kvstore_increment(S("n"), -7ull, 0, &n) == 0 && n == -2ull);
    CHECK(kvstore_insert(S("max"), S("9223372036854775807")) && kvstore_increment(S("max"), 1, 0, &n) == 1);
    BYTES(text); CHECK(kvstore_get(&text, &text_len, S("n")) == 1 && is(text, text_len, "-2"));
    CHECK(kvstore_insert(S("l/1"), "", 0) && kvstore_insert(S("l/2"), "", 0) && kvstore_insert(S("l/3"), "", 0));
    LIST(all); kvstore_list(&all, &all_len, S("l/"), "", 0, 100); CHECK(all_len == 3 && has(all, 3, "l/1") && drop(all, all_len));
    LIST(rest); kvstore_list(&rest, &rest_len, S("l/"), S("l/1"), 1);
    CHECK(rest_len == 1 && equal(rest[0].ptr, rest[0].len, "l/2") && drop(rest, rest_len));
    LIST(nothing); kvstore_list(&nothing, &nothing_len, S("x/"), "", 0, 100); CHECK(NONE(nothing));
    CHECK(live == 0);
}

static void t_expiry(void) {
    u64 n = 0;
    CHECK(kvstore_put(S("short"), S("x"), 0, 1) != 0 && kvstore_increment(S("window"), 1, 1, &n) == 0 && n == 1);
    CHECK(kvstore_increment(S("window"), 1, 100, &n) == 0 && n == 2); // the window stays
    BYTES(v); CHECK(kvstore_get(&v, &v_len, S("short")) == 1);
    release(v);
    int pause = create("GET", "/never");
    CHECK(req_set_timeout(pause, 1100) == 0 && req_send(pause) == -1);
    BYTES(gone); CHECK(kvstore_get(&gone, &gone_len, S("short")) == 0 && NONE(gone));
    CHECK(kvstore_increment(S("window"), 1, 1, &n) == 0 && n == 1);
}

static void t_timeout(void) {
    BYTES(none); last_error(&none, &none_len); CHECK(NONE(none));
    int req = create("GET", "/never");
    CHECK(req_set_timeout(req, 50) == 0 && req_set_timeout(99, 50) == 1 && req_send(req) == -1);
    BYTES(why); last_error(&why, &why_len);
    CHECK(why_len > 10 && padded(why, why_len));
    debug((char *)why, why_len);
}

static void t_read(void) {
    u8 buf[1000];
    int resp = req_send_streaming(create("GET", "/big")), n, total = 0;
    CHECK(resp > 0 && resp_get_response_code(resp) == 200);
    while ((n = resp_read(resp, buf, sizeof buf)) > 0) total += n;
    CHECK(n == 0 && total == 3000000 && resp_read(resp, buf, 1) == 0);
    CHECK(resp_read(99, buf, 1) == -1 && resp_read(resp, buf, 0) == -1);
    int whole = req_send(create("PUT", "/echo"));
    CHECK(resp_read(whole, buf, 3) == 3 && equal(buf, 3, "PUT") && resp_read(whole, buf, 1) == 1 && buf[0] == ' ');
    BYTES(body); resp_get_body(&body, &body_len, whole); CHECK(body_len > 4 && equal(body, 4, "PUT "));
    int half = req_send_streaming(create("PUT", "/echo"));
    CHECK(resp_read(half, buf, 3) == 3);
    BYTES(rest); resp_get_body(&rest, &rest_len, half); CHECK(rest_len > 6 && equal(rest, 6, " /echo"));
    CHECK(req_send_streaming(create("GET", "/never") + 1000) == -1);
    CHECK(req_send_streaming(create("GET", "/big")) > 0); // left open
}

static void t_chunks(void) {
    slice v = {(u8 *)"v", 1};
    CHECK(resp_set_header(0, S("x-a"), &v, 1) == 0 && resp_set_body(0, "zero ", 5) == 0 && resp_set_response_code(0, 202) == 0);
    CHECK(resp_send_chunk(0, S("one ")) == 0 && resp_send_chunk(0, (void *)1, 0) == 0 && resp_send_chunk(1, "x", 1) == 1);
    int late = resp_set_response_code(0, 203); // 1 where the host streams
    CHECK(resp_set_header(0, S("x-late"), &v, 1) == late && (!late || resp_set_body(0, "x", 1) == 1));
    if (!late) resp_set_response_code(0, 202);
    CHECK(resp_send_chunk(0, S("two ")) == 0);
    resp_send_chunk(0, "ok", 2);
    failed = 2;
}

static void t_messages(void) {
    CHECK(publish(S("orders.new"), S("seven")) == 0 && publish(S("orders.new"), (void *)1, 0) == 0);
    int answer = request(S("orders.ask"), "a\0b", 3);
    CHECK(answer > 0 && resp_get_response_code(answer) == 201);
    LIST(many); resp_get_header(&many, &many_len, answer, S("x-many"));
    CHECK(many_len == 2 && equal(many[1].ptr, many[1].len, "two") && drop(many, many_len));
    BYTES(body); resp_get_body(&body, &body_len, answer);
    CHECK(body_len == 14 && equal(body, 11, "orders.ask ") && body[12] == 0 && padded(body, body_len));
    release(body);
    u8 part[4];
    CHECK(resp_read(answer, part, 4) == 4 && equal(part, 4, "orde"));
    CHECK(req_send(answer) == -1 && live == 0);
    static const char *const bad[] = {"", "orders.*", "orders.>", ".", "a..b", "a b", "orders.\xff"};
    for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(publish(bad[i], length(bad[i]), S("x")) == -1 && request(bad[i], length(bad[i]), S("x")) == -1);
        BYTES(why); last_error(&why, &why_len); CHECK(why_len > 10);
        release(why);
    }
    enum { MOST = 512 << 10 };
    void *large = allocate(MOST + 1);
    CHECK(publish(S("orders.new"), large, MOST) == 0 && publish(S("orders.new"), large, MOST + 1) == -1);
    release(large);
    CHECK(publish(S("refused.new"), S("x")) == -1 && request(S("refused.new"), S("x")) == -1);
    BYTES(why); last_error(&why, &why_len); CHECK(equal(why, why_len, "request \"refused.new\": nobody is there"));
    release(why);
    CHECK(live == 0);
}

static void t_nomessages(void) {
    CHECK(publish(S("orders.new"), S("x")) == -1 && request(S("orders.new"), S("x")) == -1);
    BYTES(why); last_error(&why, &why_len); CHECK(why_len > 10);
}

static void t_outside(void) { publish(S("orders.new"), (void *)-16, 17); }

static const struct { const char *path; void (*test)(void); } tests[] = {
    {"/request", t_request}, {"/nobody", t_nobody}, {"/handles", t_handles}, {"/response", t_response}, {"/kv", t_kv}, {"/kept", t_kept},
    {"/seen", t_seen}, {"/fetch", t_fetch}, {"/async", t_async}, {"/fetchfail", t_fetchfail}, {"/count", t_count}, {"/time", t_time},
    {"/rng", t_rng}, {"/dns", t_dns}, {"/log", t_log}, {"/panic", t_panic},
    {"/where", t_where}, {"/versions", t_versions}, {"/expiry", t_expiry}, {"/timeout", t_timeout}, {"/read", t_read}, {"/chunks", t_chunks},
    {"/messages", t_messages}, {"/nomessages", t_nomessages}, {"/outside", t_outside},
};

__attribute__((export_name("run"))) void run(void) {
    init_mm(allocate, release);
    BYTES(path); req_get_path(&path, &path_len, 0);
    u32 n = 0;
    while (n < path_len && path[n] != '?') n++;
    for (u32 i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!equal(path, n, tests[i].path)) continue;
        release(path);
        tests[i].test();
        if (!failed) puts("ok");
        if (failed != 2) resp_set_body(0, page, written);
        return;
    }
    resp_set_response_code(0, 404);
}
