package wazeroengine

import (
	"context"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
)

// TestIdleStacksCount: what a guest's recursion has grown is counted while it is kept, and
// is not kept if it is much, however short the guest ran.
func TestIdleStacksCount(t *testing.T) {
	e, err := New(Options{Funcs: hostcalls.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	compiled, err := e.Compile(t.Context(), enginetest.Guest(t, "deep"), engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := compiled.(*module)
	defer func() { _ = m.Close(context.Background()) }()
	in := e.pool.Take(&m.idle)
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{})
	defer x.Close()
	before := in.stackBytes()
	if err := in.run(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	grown := in.stackBytes()
	if grown <= keepStack || before != firstStack {
		t.Fatalf("the stack had %d bytes, and %d after a deep recursion: does wazero keep it elsewhere?", before, grown)
	}
	in.ticked = false // as if it had been quick
	if err := in.reset(); err != nil {
		t.Fatal(err)
	}
	if n := in.stackBytes(); n != firstStack {
		t.Errorf("a stack of %d bytes is kept", n)
	}
	if in.idle.Cost < instanceCost+firstStack {
		t.Errorf("an idle instance counts as %d bytes", in.idle.Cost)
	}
	m.release(t.Context(), in)
	if held := e.pool.Size(); held < instanceCost+firstStack {
		t.Errorf("%d bytes held", held)
	}
}
