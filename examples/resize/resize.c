// Makes a picture smaller: POST a PNG, or name one in ?url=; ?width= is the width
// wanted, in pixels.
#include "png.h"

#include <stdlib.h>

static void fault(int code, const char *why) {
    buffer out = {0};
    put(&out, why);
    put(&out, "\n");
    reply(code, "text/plain; charset=utf-8", out.text.ptr);
}

// Each pixel is the mean of those it stands for, transparent ones counting less.
static image shrink(const image *in, uint32_t width, uint32_t height) {
    image out = {width, height, malloc((size_t)width * height * 4)};
    if (!out.rgba) abort();
    uint8_t *to = out.rgba;
    for (uint64_t y = 0; y < height; y++) {
        uint32_t top = y * in->height / height, bottom = ((y + 1) * in->height + height - 1) / height;
        for (uint64_t x = 0; x < width; x++, to += 4) {
            uint32_t left = x * in->width / width, right = ((x + 1) * in->width + width - 1) / width;
            uint64_t sum[3] = {0}, alpha = 0;
            for (uint32_t sy = top; sy < bottom; sy++) {
                const uint8_t *p = in->rgba + ((size_t)sy * in->width + left) * 4;
                for (uint32_t sx = left; sx < right; sx++, p += 4) {
                    for (int c = 0; c < 3; c++) sum[c] += p[c] * p[3];
                    alpha += p[3];
                }
            }
            for (int c = 0; c < 3; c++) to[c] = alpha ? (sum[c] + alpha / 2) / alpha : 0;
            to[3] = alpha / ((uint64_t)(bottom - top) * (right - left));
        }
    }
    return out;
}

static bool source(slice *file) {
    slice url = request_param("url");
    if (!url.ptr) {
        *file = request_body();
        return true;
    }
    int response = fetch_send(fetch_new("GET", url.ptr));
    if (response < 0 || fetch_status(response) != 200) return false;
    *file = fetch_response_body(response);
    return true;
}

void handle(void) {
    slice wish = request_param("width"), file;
    long width = wish.ptr ? strtol(wish.ptr, NULL, 10) : 0;
    if (width < 1) {
        fault(400, "usage: POST a PNG to ?width=320, or GET ?width=320&url=https://...");
        return;
    }
    if (!source(&file)) {
        fault(502, "the picture could not be fetched");
        return;
    }
    image in;
    const char *why = png_read(file, &in);
    if (why) {
        fault(415, why);
        return;
    }
    if ((uint32_t)width < in.width) {
        uint32_t height = (uint64_t)in.height * width / in.width;
        in = shrink(&in, width, height ? height : 1);
    }
    response_header("content-type", "image/png");
    response_body(png_write(&in));
}
