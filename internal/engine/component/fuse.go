package component

import (
	"errors"
	"fmt"
	"strings"

	"github.com/terrane/terrane/internal/engine/component/compbin"
	"github.com/terrane/terrane/internal/engine/component/ctype"
)

// Version names what Fuse makes of components. Whoever keeps what it made keeps it under this
// name; TestVersion finds out that it must change.
const Version = "fa1bff93493fc3e0"

// Limits bound what Fuse takes. A zero field is the default.
type Limits struct {
	compbin.Limits
	Units int // instances of core modules; 100
	Code  int // bytes of the core modules, each counted as often as it is instantiated; 128 MiB
	Steps int // definitions evaluated, those of nested components as often as they are instantiated; 100,000
}

func (l Limits) complete() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Units, 100)
	set(&l.Code, 128<<20)
	set(&l.Steps, 100_000)
	return l
}

// Entry is what a request calls.
type Entry uint8

// The entries.
const (
	EntryNone Entry = iota
	EntryHTTP       // handle of wasi:http/incoming-handler
	EntryRun        // run of wasi:cli/run
)

// Fused is a component made ready.
type Fused struct {
	// Module is the core module. Its imports are functions of the component's imports and of
	// terrane:abi; it exports run.
	Module []byte
	Entry  Entry
	World
}

// World is what a component imports and exports.
type World struct {
	Imports []Interface
	Exports []Interface
}

// Interface is an import or export.
type Interface struct {
	Name  string // as it is written, with the version; of a single function its name
	Funcs []Func
}

// Func is a function of an interface.
type Func struct{ Name, Type string }

// Is reports whether Fuse is for the file: a component, of whatever version, or a core module
// that exports what a component would.
func Is(wasm []byte) bool { return compbin.Recognise(wasm) || isFlat(wasm) }

// Fuse makes one core module of a component. An error is for the component's author.
func Fuse(wasm []byte, l Limits) (*Fused, error) {
	if !compbin.Recognise(wasm) && isFlat(wasm) {
		return fuseFlat(wasm)
	}
	c, err := compbin.Decode(wasm, l.Limits)
	if err != nil {
		return nil, err
	}
	e := &evaluator{limits: l.complete(), resources: map[*ctype.ResourceID]*resource{}, hosts: map[string]*function{}}
	f, err := e.run(c, nil, nil)
	if err != nil {
		return nil, err
	}
	out := &Fused{World: worldOf(c.Type)}
	entry, err := findEntry(c.Type, f)
	if err != nil {
		return nil, err
	}
	out.Entry = entry.kind
	if out.Module, err = merge(e.units, entry); err != nil {
		return nil, err
	}
	return out, nil
}

func worldOf(t *ctype.Component) World { return World{interfaces(t.Imports), interfaces(t.Exports)} }

func interfaces(all []ctype.Extern) (out []Interface) {
	for _, e := range all {
		face := Interface{Name: e.Name}
		switch t := e.Type.(type) {
		case *ctype.Func:
			if e.Sort == ctype.SortFunc {
				face.Funcs = []Func{{e.Name, t.String()}}
			}
		case *ctype.Instance:
			for _, x := range t.Exports {
				if f, ok := x.Type.(*ctype.Func); ok && x.Sort == ctype.SortFunc {
					face.Funcs = append(face.Funcs, Func{x.Name, f.String()})
				}
			}
		}
		out = append(out, face)
	}
	return out
}

// handler is an entry, and how its function is flattened.
type handler struct {
	kind            Entry
	face, fn        string
	params, results int
}

// handlers are the entries, in the order in which they are looked for.
func handlers() []handler {
	return []handler{
		{EntryHTTP, "wasi:http/incoming-handler", "handle", 2, 0},
		{EntryRun, "wasi:cli/run", "run", 0, 1},
	}
}

func findEntry(t *ctype.Component, f *frame) (*entry, error) {
	var seen []string
	for _, h := range handlers() {
		for _, x := range t.Exports {
			n, err := ctype.ParseName(x.Name)
			if err != nil || n.Interface != h.face {
				continue
			}
			if !servedVersion(n.Version) {
				seen = append(seen, x.Name)
				continue
			}
			in := f.exports[x.Name].instance
			if in == nil || in.exports[h.fn].fn == nil {
				return nil, fmt.Errorf("the component exports %s, which has no function %s", x.Name, h.fn)
			}
			call := in.exports[h.fn].fn
			core := call.typ.Lift()
			switch {
			case call.core == nil:
				return nil, fmt.Errorf("the component exports %s, which is an import that it only passes on", x.Name)
			case call.async || core.String() != h.flat().String():
				return nil, fmt.Errorf("the component exports %s with %s as %s, which is not the type of this interface", x.Name, h.fn, call.typ)
			}
			return &entry{h.kind, call.core, core, call.postReturn}, nil
		}
	}
	if seen != nil {
		return nil, fmt.Errorf("the component exports %s; this edge runs version 0.2.x", strings.Join(seen, " and "))
	}
	return nil, errNoHandler
}

var errNoHandler = errors.New("the component exports neither wasi:http/incoming-handler nor wasi:cli/run of version 0.2.x: " +
	"export one of them, so that a request can be answered")

// servedVersion reports whether handlers of the version are called. Release candidates of 0.2.0 are
// something else.
func servedVersion(version string) bool {
	return strings.HasPrefix(version, "0.2.") && !strings.Contains(version, "-")
}
