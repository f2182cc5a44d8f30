#include "png.h"

#include <stdlib.h>
#include <string.h>

// One block with the fixed codes, and matches found through a hash of the next three
// bytes: fast, small, and within a third of what the best compressors reach.

typedef struct {
    buffer *out;
    uint32_t held;
    int count;
} writer;

static void emit(writer *w, unsigned bits, int n) {
    w->held |= bits << w->count;
    for (w->count += n; w->count >= 8; w->count -= 8, w->held >>= 8) {
        char byte = w->held;
        put_slice(w->out, (slice){&byte, 1});
    }
}

// Huffman codes go out with their highest bit first.
static void emit_code(writer *w, unsigned code, int n) {
    unsigned reversed = 0;
    for (int i = 0; i < n; i++) reversed |= (code >> i & 1) << (n - 1 - i);
    emit(w, reversed, n);
}

static void emit_literal(writer *w, unsigned s) {
    if (s < 144)
        emit_code(w, 0x30 + s, 8);
    else if (s < 256)
        emit_code(w, 0x190 + s - 144, 9);
    else if (s < 280)
        emit_code(w, s - 256, 7);
    else
        emit_code(w, 0xc0 + s - 280, 8);
}

static int log2_floor(unsigned n) { return 31 - __builtin_clz(n); }

static void emit_match(writer *w, unsigned len, unsigned back) {
    if (len == 258) {
        emit_literal(w, 285);
    } else if (len < 11) {
        emit_literal(w, 257 + len - 3);
    } else {
        int extra = log2_floor(len - 3) - 2;
        emit_literal(w, 257 + 4 * extra + ((len - 3) >> extra));
        emit(w, (len - 3) & ((1 << extra) - 1), extra);
    }
    if (back < 3) {
        emit_code(w, back - 1, 5);
    } else {
        int extra = log2_floor(back - 1) - 1;
        emit_code(w, 2 * extra + ((back - 1) >> extra), 5);
        emit(w, (back - 1) & ((1 << extra) - 1), extra);
    }
}

static uint32_t adler(const uint8_t *p, size_t len) {
    uint32_t a = 1, b = 0;
    for (; len--; p++) {
        a = (a + *p) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

void zlib_write(slice in, buffer *out) {
    enum { HASH_BITS = 15, WINDOW = 32768, LONGEST = 258 };
    static size_t seen[1 << HASH_BITS]; // the place behind where the hash was met last
    const uint8_t *data = (uint8_t *)in.ptr;
    writer w = {out, 0, 0};
    put_slice(out, (slice){"\x78\x01", 2});
    emit(&w, 1, 1); // the last block
    emit(&w, 1, 2); // fixed codes
    for (size_t at = 0; at < in.len;) {
        size_t len = 0, from = 0;
        if (at + 3 <= in.len) {
            uint32_t three = data[at] << 16 | data[at + 1] << 8 | data[at + 2];
            size_t *slot = &seen[three * 2654435761u >> (32 - HASH_BITS)];
            from = *slot;
            *slot = at + 1;
            if (from && at - (from - 1) <= WINDOW)
                while (len < LONGEST && at + len < in.len && data[from - 1 + len] == data[at + len]) len++;
        }
        if (len >= 3) {
            emit_match(&w, len, at - (from - 1));
            at += len;
        } else {
            emit_literal(&w, data[at++]);
        }
    }
    emit_literal(&w, 256);
    emit(&w, 0, 7); // up to the byte's end
    uint32_t sum = adler(data, in.len);
    char big[4] = {sum >> 24, sum >> 16, sum >> 8, sum};
    put_slice(out, (slice){big, 4});
}
