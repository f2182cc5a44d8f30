package abi

import (
	"context"
	"fmt"
	"strings"

	"github.com/terrane/terrane/hostcalls"
)

// Module is the import module of what fused components need of the host in addition to their
// interfaces.
const Module = "terrane:abi"

// Interface is an interface that components may import.
type Interface struct {
	Name    string // as in WIT, without a version: "wasi:http/types"
	Version string // as hostcalls.Canonical gives it: "0.2", or one that is matched exactly
	// Uses are resources of other interfaces, by the names that Types and Funcs have for them.
	Uses string
	// Types are definitions, "name = type", in the syntax of WIT.
	Types     string
	Resources []ResourceType
	Funcs     []Func
}

// Func is a function of an interface.
type Func struct {
	Name string // as in core imports: "[method]fields.append"
	Type string // in the syntax of WIT, self included
	Do   func(ctx context.Context, c *Call) error
}

// ResourceType is a resource of an interface.
type ResourceType struct {
	name string
	drop func(c *Call) error
}

// NewResource is the resource of the name whose handles stand for values of R.
func NewResource[R Resource](name string) ResourceType {
	return ResourceType{name, func(c *Call) error {
		r, err := Remove[R](c.State, c.U32(0))
		if err == nil {
			r.Drop()
		}
		return err
	}}
}

// function is a Func made ready.
type function struct {
	signature
	module, name string
	encoding     encoding
	do           func(ctx context.Context, c *Call) error
}

// Functions returns the functions of the interfaces, in every encoding of strings, and those
// of Module. It panics if a table is wrong.
func Functions(interfaces ...Interface) []hostcalls.Func {
	out := []hostcalls.Func{{
		Module: Module, Name: "block", Params: []core{hostcalls.I32}, Results: []core{hostcalls.I64}, Call: nextBlock,
	}}
	for i := range interfaces {
		for _, f := range interfaces[i].compile() {
			for e := range encodings {
				f.encoding = e
				out = append(out, f.export())
			}
		}
	}
	return out
}

// compile reads the table.
func (i *Interface) compile() (out []function) {
	named := map[string]*Type{}
	for _, name := range strings.Fields(i.Uses) {
		named[name] = handle(kindOwn, name)
	}
	for _, r := range i.Resources {
		named[r.name] = handle(kindOwn, r.name)
	}
	p := &parser{named: named}
	where := i.Name
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fault:
			panic(fmt.Sprintf("abi: %s: %v", where, r.error))
		default:
			panic(r)
		}
	}()
	p.define(i.Types)
	for _, f := range i.Funcs {
		where = i.Name + " " + f.Name
		p.rest = f.Type
		s := p.function()
		if err := s.complete(); err != nil {
			panic(fault{err})
		}
		out = append(out, function{signature: *s, name: f.Name, do: f.Do})
	}
	for _, r := range i.Resources {
		s := signature{params: []part{{name: "self", typ: handle(kindOwn, r.name)}}, flat: []core{hostcalls.I32}, ret: -1}
		out = append(out, function{signature: s, name: "[resource-drop]" + r.name, do: func(_ context.Context, c *Call) error { return r.drop(c) }})
	}
	for n := range out {
		out[n].module = i.Name
		if i.Version != "" {
			out[n].module += "@" + i.Version
		}
	}
	return out
}

// export makes f a function for engines.
func (f function) export() hostcalls.Func {
	return hostcalls.Func{
		Module: f.module + f.encoding.suffix(), Name: f.name, Params: f.flat, Results: f.results(),
		Call: func(ctx context.Context, x *hostcalls.Exchange, g hostcalls.Guest, stack []uint64) error {
			if err := f.call(ctx, Of(x), g, stack); err != nil {
				return fmt.Errorf("%s %s: %w", f.module, f.name, err)
			}
			return nil
		},
	}
}

func (f *function) call(ctx context.Context, s *State, g hostcalls.Guest, stack []uint64) error {
	if len(s.blocks.list) > 0 {
		return errPending
	}
	c := &s.call
	c.State, c.f, c.mem, c.args = s, f, g.Memory(), stack
	if f.ret >= 0 {
		ptr := uint32(stack[f.ret])
		if ptr%f.result.align != 0 {
			return fmt.Errorf("result: %w", alignError(ptr, f.result.align))
		}
		if _, err := c.view(ptr, f.result.size); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	s.texts.buf = s.texts.buf[:0]
	return f.do(ctx, c)
}

// Describe returns the types of the interface's functions, with every name of a type but
// those of resources resolved. Functions that drop a resource have none.
func (i Interface) Describe() map[string]string {
	out := map[string]string{}
	for _, f := range i.compile() {
		out[f.name] = ""
		if !strings.HasPrefix(f.name, "[resource-drop]") {
			out[f.name] = f.String()
		}
	}
	return out
}
