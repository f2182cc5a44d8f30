package enginetest

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/engine"
)

//go:embed testdata/*.wasm
var guests embed.FS

// Guest returns the binary of a guest of the suite.
func Guest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := guests.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// New makes the engine under test, which offers funcs. The suite closes it.
type New func(t testing.TB, funcs []hostcalls.Func) engine.Engine

// Run tests the engine.
func Run(t *testing.T, newEngine New) {
	t.Run("Ends", func(t *testing.T) { testEnds(t, newEngine) })
	t.Run("Deadlines", func(t *testing.T) { testDeadlines(t, newEngine) })
	t.Run("Isolation", func(t *testing.T) { testIsolation(t, newEngine) })
	t.Run("Lend", func(t *testing.T) { testLend(t, newEngine) })
	t.Run("Refusals", func(t *testing.T) { testRefusals(t, newEngine) })
	t.Run("Neighbours", func(t *testing.T) { testNeighbours(t, newEngine) })
	t.Run("Random", func(t *testing.T) { testRandom(t, newEngine) })
	t.Run("Components", func(t *testing.T) { testComponents(t, newEngine) })
	t.Run("Close", func(t *testing.T) { testClose(t, newEngine) })
}

// patience is how long a test waits for what happens at once on an idle machine.
const patience = time.Minute

var errFail = errors.New("the argument is wrong")

// functions are what the suite's guests import.
func functions() []hostcalls.Func {
	i32 := []hostcalls.ValueType{hostcalls.I32}
	return append(append(hostcalls.Functions(), wasi.Functions()...), witness(),
		hostcalls.Func{Module: "test", Name: "wait",
			Call: func(ctx context.Context, _ *hostcalls.Exchange, _ hostcalls.Guest, _ []uint64) error {
				<-ctx.Done()
				return ctx.Err()
			}},
		hostcalls.Func{Module: "test", Name: "exit", Params: i32,
			Call: func(_ context.Context, _ *hostcalls.Exchange, _ hostcalls.Guest, stack []uint64) error {
				return &hostcalls.Exit{Code: uint32(stack[0])}
			}},
		hostcalls.Func{Module: "test", Name: "fail",
			Call: func(context.Context, *hostcalls.Exchange, hostcalls.Guest, []uint64) error { return errFail }},
		hostcalls.Func{Module: "test", Name: "call", Params: i32, Results: i32,
			Call: func(ctx context.Context, _ *hostcalls.Exchange, g hostcalls.Guest, stack []uint64) error {
				v, err := g.CallTable(ctx, 0, uint32(stack[0]), true)
				stack[0] = uint64(v)
				return err
			}},
		hostcalls.Func{Module: "test", Name: "repeat",
			Call: func(ctx context.Context, _ *hostcalls.Exchange, g hostcalls.Guest, _ []uint64) error {
				do, _ := ctx.Value(repeat{}).(func(context.Context, hostcalls.Guest) error)
				return do(ctx, g)
			}},
		hostcalls.Func{Module: "test", Name: "probe",
			Call: func(ctx context.Context, _ *hostcalls.Exchange, g hostcalls.Guest, _ []uint64) error {
				return probe(ctx, g)
			}},
	)
}

// suite is an engine that ends with its test.
type suite struct {
	testing.TB
	e engine.Engine
}

func start(t testing.TB, newEngine New) *suite {
	t.Helper()
	e := newEngine(t, functions())
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &suite{t, e}
}

func (s *suite) compile(name string, limits engine.Limits) engine.Module {
	s.Helper()
	m, err := s.e.Compile(s.Context(), Guest(s.TB, name), limits)
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	s.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			s.Error(err)
		}
	})
	return m
}

// request runs the module for one request and returns the body.
func request(ctx context.Context, m engine.Module) (string, error) {
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}})
	defer x.Close()
	err := m.Run(ctx, x)
	return string(x.Response().Body), err
}

const mib = 1 << 20

func testEnds(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	for _, tt := range []struct {
		guest  string
		body   string
		kind   engine.TrapKind
		reason string // empty: no trap
		trace  string // of the names
	}{
		{guest: "hello", body: "hello, world"},
		{guest: "nomemory"},
		{guest: "initialize", body: "ready"},
		{guest: "deep"},
		{guest: "exit0", body: "\x01\x00\x00\x00"},
		{guest: "datadrop", body: "abcd"},
		{guest: "tablegrow"},
		{guest: "vector"},
		{guest: "grow", body: "\x00\x02\x00\x00"}, // 32 MiB are 512 pages
		{guest: "growfault", kind: engine.TrapMemory, reason: "unreachable", trace: ""},
		{guest: "unreachable", reason: "unreachable", trace: "inner outer"},
		{guest: "nameless", reason: "unreachable", trace: "$2 $3"},
		{guest: "bounds", reason: "out of bounds"},
		{guest: "divide", reason: "divide by zero"},
		{guest: "indirect", reason: "table"},
		{guest: "recurse", reason: "stack overflow", trace: "down down"},
		{guest: "nest", reason: "stack overflow"},
		{guest: "refuse", reason: errFail.Error(), trace: "fail caller"},
		{guest: "refusetable", reason: errFail.Error(), trace: "fail caller"},
		{guest: "exit3", kind: engine.TrapExit, reason: "exit status 3"},
	} {
		t.Run(tt.guest, func(t *testing.T) {
			m := s.compile(tt.guest, engine.Limits{Memory: 32 * mib})
			for range 3 { // also where an instance could be recycled
				body, err := request(t.Context(), m)
				if tt.reason == "" {
					if err != nil || body != tt.body {
						t.Fatalf("got %q, %v; want %q", body, err, tt.body)
					}
					continue
				}
				trap, ok := errors.AsType[*engine.Trap](err)
				if !ok || trap.Kind != tt.kind || !strings.Contains(trap.Reason, tt.reason) || strings.Contains(trap.Reason, "\n") {
					t.Fatalf("got %#v; want kind %d, one line with %q", err, tt.kind, tt.reason)
				}
				expectTrace(t, trap, tt.trace)
			}
		})
	}
}

// expectTrace wants a backtrace of functions with these names, or some backtrace if there are none.
func expectTrace(t *testing.T, trap *engine.Trap, want string) {
	t.Helper()
	var names []string
	for _, f := range trap.Backtrace {
		name, _, _ := strings.Cut(f, "(")
		names = append(names, name[strings.LastIndex(name, ".")+1:])
	}
	if names == nil || !strings.HasPrefix(strings.Join(names, " "), want) {
		t.Errorf("backtrace %q, want it to begin with %q", trap.Backtrace, want)
	}
}

func testDeadlines(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	for guest, trace := range map[string]string{"spin": "forever", "tree": "f", "hostspin": "", "fill": "", "startspin": "init", "wait": "wait"} {
		t.Run(guest, func(t *testing.T) {
			t.Parallel()
			wall := s.compile(guest, engine.Limits{})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			expectDeadline(t, ctx, wall, trace)
			ctx, cancel = context.WithCancel(t.Context()) // the visitor leaves
			time.AfterFunc(50*time.Millisecond, cancel)
			expectDeadline(t, ctx, wall, trace)
			if guest == "wait" {
				return
			}
			cpu := s.compile(guest, engine.Limits{CPU: 50 * time.Millisecond})
			ctx, cancel = context.WithTimeout(t.Context(), patience)
			defer cancel()
			expectDeadline(t, ctx, cpu, trace)
			if ctx.Err() != nil {
				t.Error("the bound on processor time did not hold")
			}
		})
	}
}

func expectDeadline(t *testing.T, ctx context.Context, m engine.Module, trace string) { //nolint:revive // t first in tests
	t.Helper()
	began := time.Now()
	_, err := request(ctx, m)
	trap, ok := errors.AsType[*engine.Trap](err)
	if !ok || trap.Kind != engine.TrapDeadline || trap.Reason == "" {
		t.Errorf("got %#v, want a deadline", err)
	} else if trap.Backtrace != nil || errors.Is(trap, engine.ErrCPU) { // else its time was up before it began
		expectTrace(t, trap, trace)
	}
	if d := time.Since(began); d > patience/2 {
		t.Errorf("it took %v", d)
	}
}

// testIsolation wants the same answer from each request, one after the other and at
// the same time, whatever the one before has left.
func testIsolation(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	for guest, want := range map[string]uint32{
		"dirty":    3 + 35 + 1000 + 7,
		"flood":    1,
		"tableset": 1,
		"exit0":    1,
	} {
		m := s.compile(guest, engine.Limits{Memory: 32 * mib})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					body, err := request(t.Context(), m)
					if err != nil || len(body) != 4 || binary.LittleEndian.Uint32([]byte(body)) != want {
						t.Errorf("%s: got %q, %v; want %d", guest, body, err, want)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func testLend(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	m := s.compile("lend", engine.Limits{})
	for range 3 {
		if _, err := request(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}

// probe tries all that a Guest offers on the guest lend.
func probe(ctx context.Context, g hostcalls.Guest) error {
	if n := len(g.Memory()); n != engine.PageSize {
		return errors.New("memory is not one page")
	}
	if v, err := g.CallTable(ctx, 0, 21, true); v != 42 || err != nil {
		return errors.Join(errors.New("table function 0"), err)
	}
	if _, err := g.CallTable(ctx, 1, 7, false); err != nil || g.Memory()[8] != 7 {
		return errors.Join(errors.New("table function 1"), err)
	}
	if _, err := g.CallExport(ctx, "store", 9, false); err != nil || g.Memory()[8] != 9 {
		return errors.Join(errors.New("exported function"), err)
	}
	for _, missing := range []func() (uint32, error){
		func() (uint32, error) { return g.CallTable(ctx, 0, 1, false) }, // another type
		func() (uint32, error) { return g.CallTable(ctx, 2, 1, true) },  // empty
		func() (uint32, error) { return g.CallTable(ctx, 3, 1, true) },  // outside
		func() (uint32, error) { return g.CallExport(ctx, "store", 1, true) },
		func() (uint32, error) { return g.CallExport(ctx, "malloc", 1, true) },
	} {
		if _, err := missing(); !errors.Is(err, hostcalls.ErrNoFunction) {
			return errors.Join(errors.New("a function that is not there"), err)
		}
	}
	if before, ok := g.Grow(2); !ok || before != 1 || len(g.Memory()) != 3*engine.PageSize {
		return errors.New("growing by two pages")
	}
	if _, ok := g.Grow(1); ok {
		return errors.New("grew beyond the module's own maximum")
	}
	if m := g.Memory(); m[8] != 9 || slices.ContainsFunc(m[engine.PageSize:], func(b byte) bool { return b != 0 }) {
		return errors.New("memory changed by growing")
	}
	return nil
}

func testRefusals(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	hello := Guest(t, "hello")
	for _, tt := range []struct {
		name string
		wasm []byte
		want []string
	}{
		{"unknown", Guest(t, "unknown"), []string{"env.hostcall_teleport", "gpu.draw", "run"}},
		{"fourgib", Guest(t, "fourgib"), []string{"65536 pages", "32768 KiB"}},
		{"hugetable", Guest(t, "hugetable"), []string{"4294967295"}},
		{"outside", Guest(t, "outside"), []string{"data"}},
		{"empty", nil, []string{"empty"}},
		{"text", []byte("(module)"), []string{"wat2wasm"}},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), []string{"component"}},
		{"cut", hello[:len(hello)-20], []string{"ends too early"}},
		{"tag", slices.Concat(hello[:8], []byte("\x01\x04\x01\x60\x00\x00\x0d\x03\x01\x00\x00")), nil},
		{"invalid", slices.Concat(hello[:8], []byte("\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x07\x01\x03run\x00\x00\x0a\x05\x01\x03\x00\x6a\x0b")), nil},
	} {
		m, err := s.e.Compile(t.Context(), tt.wasm, engine.Limits{Memory: 32 * mib})
		if !errors.Is(err, engine.ErrRefused) {
			t.Errorf("%s: got %v, want a refusal", tt.name, err)
		}
		if m != nil {
			t.Errorf("%s: a module and an error", tt.name)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in: %v", tt.name, want, err)
			}
		}
	}
}

// testNeighbours lets guests of one module spin while another computes: it must end
// long before they do.
func testNeighbours(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	spin, work, hello := s.compile("spin", engine.Limits{}), s.compile("work", engine.Limits{}), s.compile("hello", engine.Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := request(ctx, spin); err == nil {
				t.Error("a spinning guest has returned")
			}
		})
	}
	for range 10 {
		for _, m := range []engine.Module{work, hello} {
			if _, err := request(ctx, m); err != nil {
				t.Error(err)
			}
		}
	}
	if ctx.Err() != nil {
		t.Error("spinning guests have held the others up")
	}
	cancel()
	wg.Wait()
}

func testClose(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	m, err := s.e.Compile(t.Context(), Guest(t, "hello"), engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := request(t.Context(), m); err == nil {
		t.Error("a closed module runs")
	}
}
