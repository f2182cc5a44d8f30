// What terrane.c needs of a libc, for a guest without one: free does nothing, the
// memory ends with the request.
#pragma once

#include <stddef.h>

void *malloc(size_t len);
void free(void *block);
_Noreturn void abort(void);
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memset(void *to, int c, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memchr(const void *in, int c, size_t len);
size_t strlen(const char *s);
char *strchr(const char *s, int c);
