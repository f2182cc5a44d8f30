#include "png.h"

#include <string.h>

enum { MAX_BITS = 15, LITERALS = 288, DISTANCES = 30 };

typedef struct {
    const uint8_t *next, *end;
    uint64_t held; // bits taken from next but not used yet, the first one lowest
    int count;
} reader;

static void fill(reader *r) {
    for (; r->count <= 56; r->count += 8) // behind the end come zeros; the output's size ends the loop
        r->held |= (uint64_t)(r->next < r->end ? *r->next++ : 0) << r->count;
}

static unsigned take(reader *r, int n) {
    if (r->count < n) fill(r);
    unsigned bits = r->held & ((1u << n) - 1);
    r->held >>= n;
    r->count -= n;
    return bits;
}

// A code's table is indexed by the next MAX_BITS bits: symbol << 4 | length, 0 where
// no symbol has such bits.
typedef uint16_t table[1 << MAX_BITS];

static bool build(uint16_t *t, const uint8_t *lengths, int n) {
    unsigned count[MAX_BITS + 1] = {0}, next[MAX_BITS + 2] = {0};
    for (int i = 0; i < n; i++) count[lengths[i]]++;
    count[0] = 0;
    for (int len = 1; len <= MAX_BITS; len++) {
        next[len + 1] = (next[len] + count[len]) << 1;
        if (next[len] + count[len] > 1u << len) return false;
    }
    memset(t, 0, sizeof(table));
    for (int i = 0; i < n; i++) {
        int len = lengths[i];
        if (!len) continue;
        unsigned code = next[len]++, reversed = 0;
        for (int b = 0; b < len; b++) reversed |= (code >> b & 1) << (len - 1 - b);
        for (; reversed < 1 << MAX_BITS; reversed += 1 << len) t[reversed] = i << 4 | len;
    }
    return true;
}

static int symbol(reader *r, const uint16_t *t) {
    if (r->count < MAX_BITS) fill(r);
    unsigned entry = t[r->held & ((1 << MAX_BITS) - 1)];
    if (!entry) return -1;
    take(r, entry & 15);
    return entry >> 4;
}

static bool dynamic_codes(reader *r, uint16_t *literals, uint16_t *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    int nlit = take(r, 5) + 257, ndist = take(r, 5) + 1, ncode = take(r, 4) + 4;
    uint8_t lengths[LITERALS + 32 + 138] = {0}; // 138: the longest repetition may run over
    for (int i = 0; i < ncode; i++) lengths[order[i]] = take(r, 3);
    if (nlit > 286 || ndist > DISTANCES || !build(literals, lengths, 19)) return false;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < nlit + ndist;) {
        int s = symbol(r, literals), repeat = 1;
        uint8_t value = s;
        if (s < 0 || (s == 16 && i == 0)) return false;
        if (s >= 16) {
            value = s == 16 ? lengths[i - 1] : 0;
            repeat = s == 16 ? 3 + take(r, 2) : s == 17 ? 3 + take(r, 3) : 11 + take(r, 7);
        }
        while (repeat--) lengths[i++] = value;
    }
    return build(literals, lengths, nlit) && build(distances, lengths + nlit, ndist);
}

static void fixed_codes(uint16_t *literals, uint16_t *distances) {
    uint8_t lengths[LITERALS];
    for (int i = 0; i < LITERALS; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    build(literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    build(distances, lengths, DISTANCES);
}

bool zlib_read(slice in, uint8_t *out, size_t len) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static table literals, distances;
    if (in.len < 2 || (in.ptr[0] & 15) != 8 || in.ptr[1] & 0x20) return false;
    reader r = {(uint8_t *)in.ptr + 2, (uint8_t *)in.ptr + in.len, 0, 0};
    uint8_t *to = out, *end = out + len;
    for (bool last = false; !last;) {
        last = take(&r, 1);
        switch (take(&r, 2)) {
        case 0: {
            take(&r, r.count % 8);
            unsigned n = take(&r, 16);
            if (take(&r, 16) != (n ^ 0xffff) || n > (size_t)(end - to)) return false;
            while (n--) *to++ = take(&r, 8);
            continue;
        }
        case 1: fixed_codes(literals, distances); break;
        case 2:
            if (!dynamic_codes(&r, literals, distances)) return false;
            break;
        default: return false;
        }
        for (int s; (s = symbol(&r, literals)) != 256;) {
            if (s < 0 || s > 285 || to == end) return false;
            if (s < 256) {
                *to++ = s;
                continue;
            }
            size_t n = length_base[s - 257] + take(&r, length_bits[s - 257]);
            int d = symbol(&r, distances);
            if (d < 0) return false;
            int extra = d < 2 ? 0 : d / 2 - 1;
            size_t back = d < 2 ? d + 1 : ((2 + (d & 1)) << extra) + 1;
            back += take(&r, extra);
            if (n > (size_t)(end - to) || back > (size_t)(to - out)) return false;
            for (; n--; to++) *to = to[-(ptrdiff_t)back];
        }
    }
    return to == end;
}
