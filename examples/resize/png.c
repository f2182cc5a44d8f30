#include "png.h"

#include <stdlib.h>
#include <string.h>

static const char signature[8] = "\x89PNG\r\n\x1a\n";

static uint32_t u32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

typedef struct {
    uint32_t width, height;
    int depth, channels, colour;
    slice palette, transparency;
} header;

enum { GREY = 0, RGB = 2, INDEXED = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

static const char *read_header(const uint8_t *p, size_t len, header *h) {
    static const int channels[] = {1, 0, 3, 1, 2, 0, 4};
    if (len < 13) return "the header is cut off";
    *h = (header){.width = u32(p), .height = u32(p + 4), .depth = p[8], .colour = p[9]};
    h->channels = h->colour <= RGB_ALPHA ? channels[h->colour] : 0;
    bool few = h->depth == 1 || h->depth == 2 || h->depth == 4;
    if (!h->channels || !(h->depth == 8 || (h->depth == 16 && h->colour != INDEXED) ||
                          (few && (h->colour == GREY || h->colour == INDEXED))))
        return "no such colour type";
    if (p[12]) return "interlaced pictures are not read";
    if (!h->width || !h->height || (uint64_t)h->width * h->height > MAX_PIXELS) return "too many pixels, or none";
    return NULL;
}

static uint8_t paeth(int left, int up, int corner) {
    int p = left + up - corner, a = abs(p - left), b = abs(p - up), c = abs(p - corner);
    return a <= b && a <= c ? left : b <= c ? up : corner;
}

// What the filter of a row expects of the byte at i, step bytes a pixel.
static uint8_t expected(int filter, const uint8_t *row, const uint8_t *above, size_t i, size_t step) {
    uint8_t left = i >= step ? row[i - step] : 0, up = above ? above[i] : 0;
    uint8_t corner = above && i >= step ? above[i - step] : 0;
    switch (filter) {
    case 1: return left;
    case 2: return up;
    case 3: return (left + up) / 2;
    case 4: return paeth(left, up, corner);
    }
    return 0;
}

// The i-th sample of a row, widened or narrowed to 8 bits unless it is an index.
static uint8_t sample(const header *h, const uint8_t *row, size_t i) {
    if (h->depth == 8) return row[i];
    if (h->depth == 16) return row[2 * i];
    size_t bit = i * h->depth;
    int max = (1 << h->depth) - 1, v = row[bit / 8] >> (8 - h->depth - bit % 8) & max;
    return h->colour == INDEXED ? v : v * 255 / max;
}

static void pixel(const header *h, const uint8_t *row, size_t x, uint8_t *to) {
    uint8_t s[4];
    for (int c = 0; c < h->channels; c++) s[c] = sample(h, row, x * h->channels + c);
    to[3] = 255;
    switch (h->colour) {
    case INDEXED:
        memset(to, 0, 3);
        if (3u * s[0] + 3 <= h->palette.len) memcpy(to, h->palette.ptr + 3 * s[0], 3);
        if (s[0] < h->transparency.len) to[3] = h->transparency.ptr[s[0]];
        break;
    case GREY:
    case GREY_ALPHA:
        memset(to, s[0], 3);
        if (h->colour == GREY_ALPHA) to[3] = s[1];
        break;
    default: memcpy(to, s, h->channels);
    }
}

static const char *read_pixels(const header *h, slice data, image *out) {
    size_t bits = (size_t)h->depth * h->channels, stride = (h->width * bits + 7) / 8, step = (bits + 7) / 8;
    size_t size = (stride + 1) * h->height;
    uint8_t *rows = malloc(size), *rgba = malloc((size_t)h->width * h->height * 4);
    if (!rows || !rgba) return "not enough memory for this picture";
    if (!zlib_read(data, rows, size)) return "the pixels are damaged";
    const uint8_t *above = NULL;
    for (uint32_t y = 0; y < h->height; y++) {
        uint8_t filter = rows[y * (stride + 1)], *row = rows + y * (stride + 1) + 1;
        for (size_t i = 0; i < stride; i++) row[i] += expected(filter, row, above, i, step);
        for (uint32_t x = 0; x < h->width; x++) pixel(h, row, x, rgba + ((size_t)y * h->width + x) * 4);
        above = row;
    }
    free(rows);
    *out = (image){h->width, h->height, rgba};
    return NULL;
}

const char *png_read(slice file, image *out) {
    if (file.len < 8 || memcmp(file.ptr, signature, 8)) return "not a PNG file";
    header h = {0};
    buffer data = {0};
    for (size_t at = 8; at + 12 <= file.len;) {
        const uint8_t *chunk = (uint8_t *)file.ptr + at;
        size_t len = u32(chunk);
        if (len > file.len - at - 12) return "the file is cut off";
        slice content = {(char *)chunk + 8, len};
        const char *fault = NULL;
        if (!memcmp(chunk + 4, "IHDR", 4)) fault = read_header(chunk + 8, len, &h);
        if (!memcmp(chunk + 4, "PLTE", 4)) h.palette = content;
        if (!memcmp(chunk + 4, "tRNS", 4)) h.transparency = content;
        if (!memcmp(chunk + 4, "IDAT", 4)) put_slice(&data, content);
        if (fault) return fault;
        at += len + 12;
    }
    return h.width ? read_pixels(&h, data.text, out) : "there is no header";
}

static void put_u32(buffer *out, uint32_t n) {
    put_slice(out, (slice){(char[4]){n >> 24, n >> 16, n >> 8, n}, 4});
}

static void put_chunk(buffer *out, const char *name, slice content) {
    put_u32(out, content.len);
    size_t start = out->text.len;
    put(out, name);
    put_slice(out, content);
    uint32_t crc = ~0u;
    for (size_t i = start; i < out->text.len; i++) {
        crc ^= (uint8_t)out->text.ptr[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    put_u32(out, ~crc);
}

slice png_write(const image *in) {
    size_t stride = (size_t)in->width * 4;
    uint8_t *rows = malloc((stride + 1) * in->height), *to = rows;
    if (!rows) abort();
    for (uint32_t y = 0; y < in->height; y++) {
        const uint8_t *row = in->rgba + y * stride, *above = y ? row - stride : NULL;
        *to++ = 4;
        for (size_t i = 0; i < stride; i++) *to++ = row[i] - expected(4, row, above, i, 4);
    }
    buffer out = {0}, head = {0}, data = {0};
    put_u32(&head, in->width);
    put_u32(&head, in->height);
    put_slice(&head, (slice){"\x08\x06\0\0\0", 5});
    zlib_write((slice){(char *)rows, to - rows}, &data);
    put_slice(&out, (slice){(char *)signature, 8});
    put_chunk(&out, "IHDR", head.text);
    put_chunk(&out, "IDAT", data.text);
    put_chunk(&out, "IEND", (slice){0});
    return out.text;
}
