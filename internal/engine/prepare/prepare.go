package prepare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The names of what is added. No export of a module may begin with Module + ":".
const (
	Module  = "terrane"
	Tick    = "tick"
	Fuel    = "terrane:fuel"
	Stack   = "terrane:stack"
	Refused = "terrane:refused"
	Enter   = "terrane:enter"
	Mark    = "terrane:mark"
)

// FullFuel is what an instance starts with, and what Tick must set the fuel to: an
// instruction costs 1, a call 32. A processor needs some 100 us for it.
const FullFuel = 1 << 18

// Options say how a module is to be run.
type Options struct {
	Entry       string // the export that Enter calls, () -> (); empty: none
	Init        string // an export, () -> (), that Enter calls before, if the module has it
	MemoryPages uint32 // maximum of the memory
	// SparePage declares one page more than the memory may have, unless that is 4 GiB.
	// The engine's allocator then refuses it (Result.MemoryPages), and can use the
	// request for it to shrink the memory.
	SparePage bool
	TableSize uint32 // maximum of each table, in elements
	Stack     uint32 // bytes; 0: 2 MiB
	// Reach is for engines that reach what is exported and nothing else: it adds Memory,
	// CallValue and CallVoid, and drops all of the module's exports that no function of
	// the host calls, which are those of other types than the two of hostcalls.Guest.
	Reach bool
	// Guard is for engines that cannot unwind a guest out of a function of the host: when an
	// imported function returns and Stack is negative, the guest traps, below Guards.
	Guard bool
	// Rename returns the module and name that an import is to have; nil leaves them as they are.
	Rename func(module, name string) (string, string)
	// Mark is what the function returns that is exported as Mark, () -> (i64): by it, code tells
	// which module it was compiled of. 0: there is none.
	Mark uint64
}

const defaultStack = 2 << 20

// Result is a module made ready.
type Result struct {
	Wasm []byte
	// Enter is the index of the function exported as Enter, and Tick that of the import:
	// functions from there on had an index lower by one. From Enter on all are added.
	Enter, Tick uint32
	// Guards is the index of what Options.Guard adds: a function for each that is imported, Tick
	// included, in their order.
	Guards      uint32
	MemoryPages uint32 // the memory's maximum; 0 if there is no memory
	// Fresh says what Enter and the memory's image cannot put back, each with the first
	// function that changes it; empty if nothing.
	Fresh string
}

// Prepare rewrites the module. An error is for the module's author.
func Prepare(wasm []byte, o Options) (*Result, error) {
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		return nil, err
	}
	if o.Stack == 0 {
		o.Stack = defaultStack
	}
	p := &preparation{
		m:       m,
		o:       o,
		tick:    uint32(m.Imported(wasmbin.KindFunc)),
		globals: uint32(m.Imported(wasmbin.KindGlobal) + len(m.Globals)),
		types:   slices.Clone(m.Types),
	}
	p.funcs = p.tick + uint32(len(m.Funcs))
	return p.run()
}

// preparation is the rewriting of one module.
type preparation struct {
	m       *wasmbin.Module
	o       Options
	tick    uint32 // index of the import, and of the first defined function before
	funcs   uint32 // number of functions before, imports included
	globals uint32 // number of globals before: the index of the first added
	types   []wasmbin.FuncType
	known   map[string]uint32 // types by their text, once one was asked for
	fresh   []string
	effort  int64
	guards  uint32 // new index of the first guard, 0 if there are none
	scan    scan   // of the present function
	scratch []byte // likewise
	checks  []bool // of the functions written, whether they look at the fuel whenever called
}

func (p *preparation) run() (*Result, error) {
	entry, err := p.entry()
	if err != nil {
		return nil, err
	}
	for _, e := range p.m.Exports {
		if strings.HasPrefix(e.Name, Module+":") {
			return nil, fmt.Errorf("exports %q: names that begin with %q are this host's", e.Name, Module+":")
		}
	}
	more := p.extras() // these two first: they add types and functions
	code, err := p.code(more, p.m.Start, p.init(), entry)
	if err != nil {
		return nil, err
	}
	elements, err := p.elements()
	if err != nil {
		return nil, err
	}
	if err := p.checkData(); err != nil {
		return nil, err
	}
	globals, err := p.globalSection()
	if err != nil {
		return nil, err
	}
	procedure := p.typeIndex(wasmbin.FuncType{})
	p.checkImports()

	memory, pages := p.memorySection()
	w := newWriter()
	w.section(wasmbin.SecType, p.typeSection())
	w.section(wasmbin.SecImport, p.importSection(procedure))
	w.section(wasmbin.SecFunction, p.functionSection(procedure, more))
	w.section(wasmbin.SecTable, p.tableSection())
	w.section(wasmbin.SecMemory, memory)
	w.section(wasmbin.SecGlobal, globals)
	w.section(wasmbin.SecExport, p.exportSection(more))
	w.section(wasmbin.SecElement, elements)
	w.copy(p.m, wasmbin.SecDataCount)
	w.section(wasmbin.SecCode, code)
	w.copy(p.m, wasmbin.SecData)
	w.names(p)
	return &Result{Wasm: w.out, Enter: p.fn(p.funcs), Tick: p.tick, Guards: p.guards, MemoryPages: pages, Fresh: strings.Join(p.fresh, "; ")}, nil
}

// fn is the new index of a function, for whoever calls it or keeps it: of its guard, if it has
// one.
func (p *preparation) fn(old uint32) uint32 {
	if old < p.tick {
		return p.guards + old
	}
	return p.moved(old)
}

// moved is the new index of the function itself.
func (p *preparation) moved(old uint32) uint32 {
	if old >= p.tick {
		return old + 1
	}
	return old
}

var errEntry = errors.New("it must be a function without parameters and results")

// entry returns the old index of the function that Enter calls last.
func (p *preparation) entry() (*uint32, error) {
	if p.o.Entry == "" {
		return nil, nil
	}
	for _, e := range p.m.Exports {
		if e.Name != p.o.Entry {
			continue
		}
		t, ok := p.m.TypeOf(e.Index)
		if e.Kind != wasmbin.KindFunc || !ok || len(t.Params)+len(t.Results) > 0 {
			return nil, fmt.Errorf("export %q: %w", e.Name, errEntry)
		}
		return &e.Index, nil
	}
	return nil, fmt.Errorf("no export %q", p.o.Entry)
}

// checksFuel reports whether the function, an old index, is known to look at the fuel
// whenever it is called. The present one calls it.
func (p *preparation) checksFuel(fn, present uint32) bool {
	return fn == present || fn >= p.tick && fn < present && p.checks[fn-p.tick]
}

// init returns the old index of the function that Enter calls before the entry, nil if
// the module has none.
func (p *preparation) init() *uint32 {
	for _, e := range p.m.Exports {
		if e.Name == p.o.Init && e.Kind == wasmbin.KindFunc {
			if t, ok := p.m.TypeOf(e.Index); ok && len(t.Params)+len(t.Results) == 0 {
				return &e.Index
			}
		}
	}
	return nil
}

// typeIndex finds or adds a type.
func (p *preparation) typeIndex(t wasmbin.FuncType) uint32 {
	if p.known == nil {
		p.known = make(map[string]uint32, len(p.types))
		for i, t := range p.types {
			p.known[t.String()] = uint32(i)
		}
	}
	i, ok := p.known[t.String()]
	if !ok {
		i = uint32(len(p.types))
		p.types = append(p.types, t)
		p.known[t.String()] = i
	}
	return i
}

// keep records why an instance cannot be recycled; of each reason the first place.
func (p *preparation) keep(why, where string) {
	if !slices.ContainsFunc(p.fresh, func(known string) bool { return strings.HasPrefix(known, why) }) {
		p.fresh = append(p.fresh, why+where)
	}
}

func (p *preparation) checkImports() {
	for _, im := range p.m.Imports {
		if im.Kind != wasmbin.KindFunc {
			p.keep(fmt.Sprintf("it imports the %s %s.%s", im.Kind, im.Module, im.Name), "")
		}
	}
}
