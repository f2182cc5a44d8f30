// The guest of BenchmarkState: /OP/N/KEY does an operation on the key N times.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { u8 *ptr; u32 len; } slice;

#define ENV(name) __attribute__((import_module("env"), import_name("hostcall_" #name))) name
void ENV(req_get_path)(u8 **, u32 *, int);
int ENV(resp_set_body)(int, const void *, u32);
int ENV(resp_set_response_code)(int, u32);
int ENV(kvstore_get)(u8 **, u32 *, const u8 *, u32);
int ENV(kvstore_insert)(const u8 *, u32, const void *, u32);
int ENV(kvstore_append)(const u8 *, u32, const void *, u32);
int ENV(kvstore_increment)(const u8 *, u32, u64, u32, u64 *);
void ENV(kvstore_list)(slice **, u32 *, const u8 *, u32, const u8 *, u32, u32);

static u8 room[1 << 20], value[128];
static u32 used;

// What the host puts here is needed until the next operation only.
__attribute__((export_name("default_malloc_impl"))) void *give(u32 n) {
    void *p = room + used;
    used += (n + 15) & ~15u;
    if (used > sizeof room)
        __builtin_trap();
    return p;
}

__attribute__((export_name("run"))) void run(void) {
    u8 *path, *got;
    u32 len, got_len, n = 0, i = 5, count;
    slice *keys;
    u64 sum;
    req_get_path(&path, &len, 0);
    for (; i < len && path[i] != '/'; i++)
        n = n * 10 + path[i] - '0';
    u8 *key = path + i + 1;
    u32 key_len = len - i - 1, first = used, right = 1;
    for (i = 0; i < n; i++) {
        used = first;
        switch (path[1]) {
        case 'g': right &= kvstore_get(&got, &got_len, key, key_len); break;
        case 'p': kvstore_insert(key, key_len, value, sizeof value); break;
        case 'i': right &= kvstore_increment(key, key_len, 1, 0, &sum) == 0; break;
        case 'a': kvstore_append(key, key_len, value, 1); break;
        case 'l': kvstore_list(&keys, &count, key, key_len, 0, 0, 100), right &= count == 100; break;
        case 'f': key[key_len - 1] = 'a' + i % 26, key[key_len - 2] = 'a' + i / 26, kvstore_insert(key, key_len, value, sizeof value); break;
        default: right = 0;
        }
    }
    resp_set_response_code(0, right ? 200 : 500);
    resp_set_body(0, "done\n", 5);
}
