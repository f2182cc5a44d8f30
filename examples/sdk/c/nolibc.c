#include "nolibc.h"

#include <stdint.h>

extern unsigned char __heap_base; // where the linker's data ends

static uintptr_t top;

void *malloc(size_t len) {
    enum { PAGE = 65536 };
    if (!top) top = (uintptr_t)&__heap_base;
    uintptr_t block = (top + 15) & ~(uintptr_t)15;
    uint64_t end = (uint64_t)block + len;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > UINT32_MAX) return NULL;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == (size_t)-1) return NULL;
    top = end;
    return (void *)block;
}

void free(void *block) { (void)block; }

void abort(void) { __builtin_trap(); }

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    char *t = to;
    for (const char *f = from; len--;) *t++ = *f++;
    return to;
}

void *memset(void *to, int c, size_t len) {
    for (char *t = to; len--;) *t++ = (char)c;
    return to;
}

int memcmp(const void *a, const void *b, size_t len) {
    const unsigned char *x = a, *y = b;
    for (; len; len--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

void *memchr(const void *in, int c, size_t len) {
    for (const unsigned char *p = in; len--; p++)
        if (*p == (unsigned char)c) return (void *)p;
    return NULL;
}

size_t strlen(const char *s) {
    size_t n = 0;
    while (s[n]) n++;
    return n;
}

char *strchr(const char *s, int c) {
    for (;; s++) {
        if (*s == (char)c) return (char *)s;
        if (!*s) return NULL;
    }
}
