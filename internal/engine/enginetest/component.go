package enginetest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	ct "github.com/terrane/terrane/internal/engine/component/comptest"
)

// command is a component that exports run of wasi:cli/run. It counts in its memory how often it has
// run, passes that to see: func(n: u32) of t:t/host, and traps if trap is true.
func command(trap bool) []byte {
	end := []byte{0x41, 0}
	if trap {
		end = []byte{0x00}
	}
	b := ct.New()
	host := b.Type(ct.InstanceType(ct.DeclType(ct.FuncType("", ct.Field("n", ct.U32))), ct.DeclExport("see", ct.FuncDesc(0))))
	b.Import("t:t/host@0.2.0", ct.Instance, ct.InstanceDesc(host))
	core := b.CoreModule(ct.Core{
		Types:    [][]byte{ct.CoreType("i:"), ct.CoreType(":i")},
		Imports:  [][]byte{ct.CoreImport("t:t/host", "see", 0, 0)},
		Funcs:    []int{1},
		Memories: [][]byte{{0, 1}},
		Exports:  [][]byte{ct.CoreExport("run", ct.CoreFunc, 1)},
		Code:     [][]byte{ct.Body(append([]byte{0x41, 0, 0x41, 0, 0x28, 2, 0, 0x41, 1, 0x6a, 0x36, 2, 0, 0x41, 0, 0x28, 2, 0, 0x10, 0}, end...)...)},
		Names:    []string{"", "counts"},
	}.Bytes())
	args := b.CoreBundle(ct.CoreArg("see", ct.CoreFunc, b.Lower(b.Alias(ct.Func, 0, "see"))))
	run := b.CoreAlias(ct.CoreFunc, b.CoreInstantiate(core, ct.Item("t:t/host", "", args)), "run")
	lifted := b.Lift(run, b.Type(ct.FuncType(ct.Index(b.Type(ct.Result())))))
	b.Export("wasi:cli/run@0.2.0", ct.Instance, b.Bundle(ct.Item("run", ct.Func, lifted)))
	return b.Bytes()
}

// testComponents runs a component: it is recycled like a core module, its functions keep their
// names, and what is not offered is named at once.
func testComponents(t *testing.T, newEngine New) {
	var seen []uint32
	var ran uint32
	programs := 0
	i32 := []hostcalls.ValueType{hostcalls.I32}
	note := func(do func(uint32)) func(context.Context, *hostcalls.Exchange, hostcalls.Guest, []uint64) error {
		return func(_ context.Context, _ *hostcalls.Exchange, _ hostcalls.Guest, stack []uint64) error {
			do(uint32(stack[0]))
			return nil
		}
	}
	funcs := []hostcalls.Func{
		{Module: "t:t/host@0.2.0", Name: "see", Params: i32, Call: note(func(n uint32) { seen = append(seen, n) })},
		{Module: "t:t/host@0.2", Name: "see", Params: i32, Call: note(func(n uint32) { seen = append(seen, n) })},
		{Module: "terrane:abi", Name: "program", Call: func(context.Context, *hostcalls.Exchange, hostcalls.Guest, []uint64) error { programs++; return nil }},
		{Module: "terrane:abi", Name: "ran", Params: i32, Call: note(func(n uint32) { ran = n + 1 })},
	}
	e := newEngine(t, funcs)
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	run := func(wasm []byte) error {
		m, err := e.Compile(t.Context(), wasm, engine.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		for range 3 {
			x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}})
			err := m.Run(t.Context(), x)
			x.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(command(false)); err != nil || !slices.Equal(seen, []uint32{1, 1, 1}) || ran != 1 || programs != 3 {
		t.Errorf("seen %v, result %d, %d programs, %v; want a fresh memory in each of three requests", seen, ran, programs, err)
	}
	trap := &engine.Trap{}
	if err := run(command(true)); !errors.As(err, &trap) || !strings.Contains(strings.Join(trap.Backtrace, " "), "counts") {
		t.Errorf("%v %q, want a trap in counts", err, trap.Backtrace)
	}
	none := newEngine(t, hostcalls.Functions())
	defer func() { _ = none.Close(context.Background()) }()
	if _, err := none.Compile(t.Context(), command(false), engine.Limits{}); !errors.Is(err, engine.ErrRefused) ||
		!strings.Contains(err.Error(), "imports the interface t:t/host@0.2.0, which is not offered") {
		t.Errorf("an interface that is not offered: %v", err)
	}
}
