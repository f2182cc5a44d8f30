package compbin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The first bytes of canonical definitions.
const (
	canonLift         = 0x00
	canonLower        = 0x01
	CanonResourceNew  = 0x02
	CanonResourceDrop = 0x03
	CanonResourceRep  = 0x04
)

func (s *scope) canon(r *wasmbin.Reader) error {
	switch op := r.Byte(); op {
	case canonLift:
		return s.lift(r)
	case canonLower:
		return s.lower(r)
	case CanonResourceNew, CanonResourceDrop, CanonResourceRep:
		return s.resourceOp(r, op)
	default:
		return s.builtin(r, op)
	}
}

func (s *scope) resourceOp(r *wasmbin.Reader, op byte) error {
	index := r.U32()
	res, err := typeAt[*ctype.Resource](s, index, "a resource")
	if err != nil || r.Err() != nil {
		return err
	}
	i32 := []wasmbin.ValType{wasmbin.I32}
	t := wasmbin.FuncType{Params: i32}
	if op != CanonResourceDrop {
		t.Results = i32
		if !s.locals[res.ID] {
			return fmt.Errorf("type %d is not a resource that this component defines", index)
		}
	}
	s.coreFuncs = append(s.coreFuncs, t)
	s.add(ResourceOp{op, index})
	return nil
}

func (s *scope) lift(r *wasmbin.Reader) error {
	if b := r.Byte(); b != 0 {
		r.Fail("a definition that is lifted is of sort 0x%02x", b)
	}
	def := Lift{Core: r.U32()}
	err := s.options(r, &def.Options)
	if err != nil {
		return err
	}
	def.Type, err = typeAt[*ctype.Func](s, r.U32(), "a function type")
	if err != nil || r.Err() != nil {
		return err
	}
	core, err := at(s.coreFuncs, def.Core, "core function")
	if err != nil {
		return err
	}
	want := def.Type.Lift()
	if def.Async {
		if want, err = s.asyncLift(&def); err != nil {
			return err
		}
	} else if def.Callback != nil {
		return errors.New("a callback without async")
	}
	if !equal(core, want) {
		return fmt.Errorf("core function %d is %s; as %s it must be %s", def.Core, core, def.Type, want)
	}
	if err := s.checkOptions(&def.Options, def.Type.LiftNeeds()); err != nil {
		return err
	}
	if def.PostReturn != nil {
		if def.Async {
			return errors.New("an asynchronous function with post-return")
		}
		f, err := at(s.coreFuncs, *def.PostReturn, "core function")
		if err != nil {
			return err
		}
		if want := (wasmbin.FuncType{Params: want.Results}); !equal(f, want) {
			return fmt.Errorf("the function of post-return is %s; it must be %s", f, want)
		}
	}
	s.funcs = append(s.funcs, def.Type)
	s.add(def)
	return nil
}

var errNotAsync = errors.New("async where the function's type is not async")

func (s *scope) asyncLift(def *Lift) (wasmbin.FuncType, error) {
	if !def.Type.Async {
		return wasmbin.FuncType{}, errNotAsync
	}
	want := wasmbin.FuncType{Params: def.Type.Lift().Params}
	if def.Callback == nil {
		return want, nil
	}
	i32 := wasmbin.I32
	want.Results = []wasmbin.ValType{i32}
	f, err := at(s.coreFuncs, *def.Callback, "core function")
	if err != nil {
		return want, err
	}
	if cb := (wasmbin.FuncType{Params: []wasmbin.ValType{i32, i32, i32}, Results: want.Results}); !equal(f, cb) {
		return want, fmt.Errorf("the callback is %s; it must be %s", f, cb)
	}
	return want, nil
}

func equal(a, b wasmbin.FuncType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

func (s *scope) lower(r *wasmbin.Reader) error {
	if b := r.Byte(); b != 0 {
		r.Fail("a definition that is lowered is of sort 0x%02x", b)
	}
	def := Lower{Func: r.U32()}
	err := s.options(r, &def.Options)
	if err != nil || r.Err() != nil {
		return err
	}
	if def.Type, err = at(s.funcs, def.Func, "function"); err != nil {
		return err
	}
	if def.PostReturn != nil || def.Callback != nil {
		return errors.New("post-return and callback are for functions that are lifted")
	}
	t, needs := def.Type.Lower(), def.Type.LowerNeeds()
	if def.Async {
		if !def.Type.Async {
			return errNotAsync
		}
		t, needs = def.Type.LowerAsync()
	}
	if err := s.checkOptions(&def.Options, needs); err != nil {
		return err
	}
	s.coreFuncs = append(s.coreFuncs, t)
	s.add(def)
	return nil
}

// options reads the options of a canonical definition.
func (s *scope) options(r *wasmbin.Reader, to *Options) error {
	var opts [8]bool
	for range r.Count() {
		b := r.Byte()
		group := b
		switch b {
		case 0x00, 0x01, 0x02:
			to.Encoding, group = Encoding(b), 0
		case 0x03:
			i := r.U32()
			to.Memory = &i
			if _, err := at(s.coreMemories, i, "core memory"); err != nil {
				return err
			}
		case 0x04:
			i := r.U32()
			to.Realloc = &i
		case 0x05:
			i := r.U32()
			to.PostReturn = &i
		case 0x06:
			to.Async = true
		case 0x07:
			i := r.U32()
			to.Callback = &i
		default:
			r.Fail("the option 0x%02x of a canonical definition is not supported", b)
		}
		if r.Err() != nil {
			return nil
		}
		if opts[group] {
			return fmt.Errorf("the option 0x%02x is there twice", b)
		}
		opts[group] = true
	}
	return nil
}

func (s *scope) checkOptions(o *Options, needs ctype.Needs) error {
	if o.Realloc != nil {
		f, err := at(s.coreFuncs, *o.Realloc, "core function")
		if err != nil {
			return err
		}
		i := wasmbin.I32
		if want := (wasmbin.FuncType{Params: []wasmbin.ValType{i, i, i, i}, Results: []wasmbin.ValType{i}}); !equal(f, want) {
			return fmt.Errorf("the function of realloc is %s; it must be %s", f, want)
		}
	}
	switch {
	case o.Realloc != nil && o.Memory == nil:
		return errors.New("realloc without a memory")
	case needs.Memory && o.Memory == nil:
		return errors.New("the function needs a memory, and none is given")
	case needs.Realloc && o.Realloc == nil:
		return errors.New("the function needs realloc, and none is given")
	}
	return nil
}

// builtin reads a built-in function of WASI 0.3, which is refused by its name for now.
func (s *scope) builtin(r *wasmbin.Reader, op byte) error {
	if name, ok := builtins()[op]; ok {
		return fmt.Errorf("the component uses %s: the built-in functions of WASI 0.3 are not supported yet", name)
	}
	r.Fail("0x%02x is no canonical definition", op)
	return nil
}

// builtins are the built-in functions by the first byte of their definition.
func builtins() map[byte]string {
	return map[byte]string{
		0x05: "task.cancel", 0x06: "subtask.cancel", 0x08: "backpressure.set", 0x09: "task.return", 0x0a: "context.get", 0x0b: "context.set",
		0x0c: "thread.yield", 0x0d: "subtask.drop", 0x0e: "stream.new", 0x0f: "stream.read", 0x10: "stream.write", 0x11: "stream.cancel-read",
		0x12: "stream.cancel-write", 0x13: "stream.drop-readable", 0x14: "stream.drop-writable", 0x15: "future.new", 0x16: "future.read",
		0x17: "future.write", 0x18: "future.cancel-read", 0x19: "future.cancel-write", 0x1a: "future.drop-readable", 0x1b: "future.drop-writable",
		0x1c: "error-context.new", 0x1d: "error-context.debug-message", 0x1e: "error-context.drop", 0x1f: "waitable-set.new", 0x20: "waitable-set.wait",
		0x21: "waitable-set.poll", 0x22: "waitable-set.drop", 0x23: "waitable.join", 0x24: "backpressure.inc", 0x25: "backpressure.dec",
		0x26: "thread.index", 0x27: "thread.new-indirect", 0x28: "thread.resume-later", 0x29: "thread.suspend", 0x2a: "thread.suspend-then-resume",
		0x2b: "thread.yield-then-resume", 0x2c: "thread.suspend-then-promote", 0x2d: "thread.yield-then-promote",
		0x40: "thread.spawn-ref", 0x41: "thread.spawn-indirect", 0x42: "thread.available-parallelism",
	}
}
