package gate

import (
	"testing"
	"testing/synctest"

	"github.com/terrane/terrane/tenant"
)

// TestMemory has tenants that take all they get: each gets less, and small guests still begin.
func TestMemory(t *testing.T) {
	const kib = 1 << 10
	ctx := t.Context()
	m := NewMemory(1 << 20)
	taken := map[tenant.ID]int64{}
	for of, want := range []int64{384, 192, 96, 48} {
		of := tenant.ID("/" + string(rune('a'+of)))
		for m.Grow(of, smallGrowth, kib) {
			taken[of] += kib
		}
		if taken[of] != want*kib {
			t.Errorf("%s got %d KiB, want %d", of, taken[of]/kib, want)
		}
	}
	if !m.Begin(ctx, "/small", 100*kib) || m.Grow("/small", smallGrowth, 50*kib) || !m.Grow("/small", 0, 10*kib) {
		t.Error("a guest that begins or grows a little has no room, or one that grows has the room of others")
	}
	taken["/small"] = 110 * kib
	for of, bytes := range taken {
		m.End(of, bytes)
	}
	if m.Used() != 0 || len(m.held) != 0 {
		t.Errorf("%d bytes of %v are held by nobody", m.Used(), m.held)
	}
	if none := NewMemory(0); !none.Begin(ctx, "/a", 1<<60) || !none.Grow("/a", 1<<60, 1<<60) {
		t.Error("0 is a limit")
	}
}

// TestMemoryWaits: a guest without room begins when one ends, or does not when none does.
func TestMemoryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		if !m.Begin(t.Context(), "/a", 50) {
			t.Fatal("no room in an empty memory")
		}
		if m.Begin(t.Context(), "/b", 30) {
			t.Error("there is room for a tenant that would hold more than it leaves free")
		}
		began := make(chan bool)
		go func() { began <- m.Begin(t.Context(), "/b", 30) }()
		synctest.Wait()
		m.End("/a", 50)
		if !<-began || m.Used() != 30 {
			t.Errorf("%d bytes are used after what was waited for became free", m.Used())
		}
	})
}
