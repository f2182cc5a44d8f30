// What guests compute, for benchmarks. clang --target=wasm32 -O2 -nostdlib -fno-builtin -Wl,--no-entry compute.c -o compute.wasm
#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("fib") unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

EXPORT("loop") unsigned loop(unsigned n) {
	unsigned x = 1;
	for (unsigned i = 0; i < n; i++) x = x * 1664525 + 1013904223 ^ (x >> 7);
	return x;
}

static unsigned char crossed[1 << 19];
EXPORT("sieve") unsigned sieve(unsigned n) {
	unsigned primes = 0;
	for (unsigned i = 0; i < n; i++) crossed[i] = 0;
	for (unsigned i = 2; i < n; i++) {
		if (crossed[i]) continue;
		primes++;
		for (unsigned j = i + i; j < n; j += i) crossed[j] = 1;
	}
	return primes;
}

static unsigned list[1 << 12];
EXPORT("sort") unsigned sort(unsigned n) {
	for (unsigned i = 0; i < n; i++) list[i] = i * 2654435761u;
	for (unsigned i = 1; i < n; i++) {
		unsigned v = list[i], j = i;
		for (; j && list[j - 1] > v; j--) list[j] = list[j - 1];
		list[j] = v;
	}
	return list[n / 2];
}

static unsigned rotate(unsigned x, int n) { return x >> n | x << (32 - n); }

// The compression of SHA-256 with made-up constants, n times.
EXPORT("hash") unsigned hash(unsigned n) {
	unsigned s[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64];
	while (n--) {
		for (int i = 0; i < 16; i++) w[i] = s[i & 7] + i;
		for (int i = 16; i < 64; i++) {
			unsigned a = w[i - 15], b = w[i - 2];
			w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
		}
		for (int i = 0; i < 64; i++) {
			unsigned e = s[4], a = s[0];
			unsigned t = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (e & s[5] ^ ~e & s[6]) + 0x428a2f98 * i + w[i];
			unsigned u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + (a & s[1] ^ a & s[2] ^ s[1] & s[2]);
			s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + t, s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = t + u;
		}
	}
	return s[0];
}
