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
