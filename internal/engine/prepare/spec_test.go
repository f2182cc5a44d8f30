package prepare_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// specFiles finds the official test suite's scripts in wazero's source, where the
// module cache holds it.
func specFiles(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Skip("no module cache to read the WebAssembly test suite from: ", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
	files, _ := filepath.Glob(filepath.Join(dir, "v[12]", "testdata", "*.json"))
	if len(files) == 0 {
		t.Skip("no WebAssembly test suite in ", dir)
	}
	return files
}

// TestSpec runs the official test suite on each module as it is and prepared, and
// wants the same results, traps and memories.
func TestSpec(t *testing.T) {
	files := specFiles(t)
	calls := 0
	if testing.Short() {
		files = files[:len(files)/8]
	}
	for _, f := range files {
		calls += runScript(t, f)
	}
	t.Logf("%d calls of %d scripts agree", calls, len(files))
	if calls < 1000 {
		t.Error("the test suite is not what it was")
	}
}

type script struct {
	Commands []struct {
		Type, Filename, Name, As string
		Line                     int
		ModuleType               string `json:"module_type"`
		Action                   struct {
			Type, Module, Field string
			Args                []value
		}
	}
}

type value struct {
	Type  string
	Lane  string          `json:"lane_type"`
	Value json.RawMessage // a string, or one for each lane
}

func runScript(t *testing.T, file string) (calls int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	plain, prepared := newHost(t, false), newHost(t, true)
	defer func() { _ = errors.Join(plain.Close(ctx), prepared.Close(ctx)) }()
	for i, c := range s.Commands {
		where := fmt.Sprintf("%s:%d", filepath.Base(file), c.Line)
		switch {
		case strings.HasSuffix(c.Filename, ".wasm"):
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			var as string
			for _, next := range s.Commands[i+1:] {
				if next.Type == "module" {
					break
				}
				if next.Type == "register" && (next.Name == "" || next.Name == c.Name) {
					as = next.As
				}
			}
			a, b := plain.load(wasm, c.Name, as), prepared.load(wasm, c.Name, as)
			same(t, where, a, b)
		case c.Action.Field != "":
			calls++
			same(t, where, plain.do(c.Action.Type, c.Action.Module, c.Action.Field, c.Action.Args),
				prepared.do(c.Action.Type, c.Action.Module, c.Action.Field, c.Action.Args))
		}
		if last := i+1 == len(s.Commands) || s.Commands[i+1].Type == "module"; last && !bytes.Equal(plain.memory(), prepared.memory()) {
			t.Errorf("%s: memories differ", where)
		}
	}
	for m, initial := range prepared.globals {
		if _, err := m.ExportedFunction(prepare.Enter).Call(ctx); err != nil {
			t.Errorf("%s: enter: %v", filepath.Base(file), err)
		}
		if got := globals(m); !slices.Equal(got, initial) {
			t.Errorf("%s: globals after Enter: %v, want %v", filepath.Base(file), got, initial)
		}
	}
	return calls
}

func globals(m api.Module) (all []uint64) {
	in, _ := m.(experimental.InternalModule)
	for i := range in.NumGlobal() {
		all = append(all, in.Global(i).Get())
	}
	return all
}

func same(t *testing.T, where, plain, prepared string) {
	t.Helper()
	if plain != prepared {
		t.Errorf("%s: as it is: %s; prepared: %s", where, plain, prepared)
	}
}

// host is a wazero runtime with the modules of one script.
type host struct {
	wazero.Runtime
	prepare bool
	byName  map[string]api.Module
	stacks  map[api.MutableGlobal]uint64 // each module's, with its initial value
	globals map[api.Module][]uint64      // those that Enter must restore, without a start section
}

var errStack = errors.New("stack overflow")

func newHost(t testing.TB, prepared bool) *host {
	t.Helper()
	h := &host{prepare: prepared, byName: map[string]api.Module{}, stacks: map[api.MutableGlobal]uint64{}, globals: map[api.Module][]uint64{}}
	ctx := t.Context()
	h.Runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	_, err := h.NewHostModuleBuilder(prepare.Module).NewFunctionBuilder().WithGoModuleFunction(
		api.GoModuleFunc(h.tick), nil, nil).Export(prepare.Tick).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	spectest, err := os.ReadFile("testdata/spectest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.InstantiateWithConfig(ctx, spectest, wazero.NewModuleConfig().WithName("spectest")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) tick(_ context.Context, m api.Module, _ []uint64) {
	fuel, _ := m.ExportedGlobal(prepare.Fuel).(api.MutableGlobal)
	if int32(m.ExportedGlobal(prepare.Stack).Get()) < 0 {
		panic(errStack)
	}
	fuel.Set(prepare.FullFuel)
}

// load instantiates a module and returns "", or that it failed.
func (h *host) load(wasm []byte, name, as string) string {
	restorable := false
	if h.prepare {
		r, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 1 << 16, TableSize: 1 << 31})
		if err != nil {
			return "not loaded"
		}
		m, _ := wasmbin.Decode(wasm)
		wasm, restorable = r.Wasm, r.Fresh == "" && m.Start == nil
	}
	ctx := context.Background()
	if m := h.Module(as); as != "" && m != nil {
		_ = m.Close(ctx)
	}
	m, err := h.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(as).WithStartFunctions())
	if err == nil && h.prepare {
		stack, _ := m.ExportedGlobal(prepare.Stack).(api.MutableGlobal)
		h.stacks[stack] = stack.Get()
		if restorable {
			h.globals[m] = globals(m)
		}
		_, err = m.ExportedFunction(prepare.Enter).Call(ctx)
	}
	if err != nil {
		return "not loaded"
	}
	h.byName[""], h.byName[name] = m, m
	return ""
}

func (h *host) memory() []byte {
	m := h.byName[""]
	if m == nil || reflect.ValueOf(m.Memory()).IsNil() {
		return nil
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return b
}

// do performs an action and returns what came of it.
func (h *host) do(kind, module, field string, args []value) string {
	m := h.byName[module]
	if m == nil {
		return "no module"
	}
	if kind == "get" {
		g := m.ExportedGlobal(field)
		if g == nil {
			return "no global"
		}
		return g.String()
	}
	var raw []uint64
	for _, a := range args {
		raw = append(raw, a.bits()...)
	}
	f := m.ExportedFunction(field)
	if f == nil {
		return "no function"
	}
	result, err := f.Call(context.Background(), raw...)
	if err != nil {
		for stack, initial := range h.stacks { // void after a trap
			stack.Set(initial)
		}
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return strings.TrimSuffix(strings.TrimPrefix(reason, "wasm error: "), " (recovered by wazero)")
	}
	for i, t := range f.Definition().ResultTypes() {
		if t == api.ValueTypeExternref || t == 0x70 {
			result[min(i, len(result)-1)] = 0 // a pointer
		}
	}
	return fmt.Sprint(result)
}

func (v value) bits() []uint64 {
	if v.Type != "v128" {
		var s string
		_ = json.Unmarshal(v.Value, &s)
		return []uint64{number(s)}
	}
	var lanes []string
	_ = json.Unmarshal(v.Value, &lanes)
	var bits [2]uint64
	width := 128 / len(lanes)
	for i, lane := range lanes {
		at := i * width
		bits[at/64] |= number(lane) & (1<<(width-1)<<1 - 1) << (at % 64)
	}
	return bits[:]
}

func number(s string) uint64 {
	switch s {
	case "nan:canonical", "nan:arithmetic", "null":
		return 0
	}
	if strings.HasPrefix(s, "-") {
		n, _ := strconv.ParseInt(s, 10, 64)
		return uint64(n)
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
