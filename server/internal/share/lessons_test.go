package share

import "testing"

// TestHopeless: a request like one that found no room is hopeless while its network holds its share,
// and nobody else's is.
func TestHopeless(t *testing.T) {
	p := NewPool(1200)
	kind := func(o Owner, path string) Kind { return p.Kind(o, "index.wasm", "GET", path) }
	large, small := kind(aliceA, "/large"), kind(aliceA, "/small")
	if large != kind(aliceA, "/large") || large == small || large == kind(bobA, "/large") || large == kind(aliceB, "/large") || p.Kind(aliceA, "a", "b") == p.Kind(aliceA, "ab") {
		t.Error("kinds are not told apart")
	}
	h := p.Hold(aliceA, never(t))
	for h.Take(t.Context(), 100) {
	}
	want := func(o Owner, k Kind, hopeless bool) {
		t.Helper()
		if got := p.Hopeless(o, k, 0); got != hopeless {
			t.Errorf("hopeless for %v: %v, want %v", o, got, hopeless)
		}
	}
	want(aliceA, large, false) // nobody knows
	p.Learn(large, 100, false)
	p.Learn(small, 0, true)
	want(aliceA, large, true)
	want(aliceA, small, false)
	for _, o := range []Owner{aliceB, bobB} {
		k := kind(o, "/large")
		p.Learn(k, 100, false)
		want(o, k, false)
	}
	// More than is there for a tenant is not the fault of a network that holds nothing of it.
	k := kind(aliceB, "/huge")
	p.Learn(k, 300, false)
	want(aliceB, k, false)

	p.Learn(large, 10, false)
	want(aliceA, large, true)
	p.Learn(large, 0, true) // it needs less now
	want(aliceA, large, false)
	p.Learn(large, 100, false)
	want(aliceA, large, true)
	if p.Hopeless(aliceA, large, 400) {
		t.Error("hopeless because of what the request itself holds")
	}
	h.End()
	want(aliceA, large, false)

	// What never finds room is not remembered: it may need less the next time.
	h = p.Hold(aliceA, never(t))
	defer h.End()
	if !h.Take(t.Context(), 100) || h.Take(t.Context(), 401) {
		t.Error("401 of 1200 find room, or 100 do not")
	}
	p.Learn(small, 401, false)
	want(aliceA, small, false)
}
