// PNG (ISO 15948), as much as pictures on the web need: all colour types and depths;
// no interlacing. Checksums of what is read are not verified.
#pragma once

#include "terrane.h"

typedef struct {
    uint32_t width, height;
    uint8_t *rgba; // 4 bytes a pixel, rows from the top
} image;

enum { MAX_PIXELS = 8 << 20 };

// Returns what is wrong with the file, or NULL.
const char *png_read(slice file, image *out);

slice png_write(const image *in);

// The zlib format (RFC 1950, 1951). zlib_read fills out exactly, or returns false.
bool zlib_read(slice in, uint8_t *out, size_t len);
void zlib_write(slice in, buffer *out);
