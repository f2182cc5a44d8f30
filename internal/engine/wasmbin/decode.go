package wasmbin

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

const header = "\x00asm\x01\x00\x00\x00"

// Decode reads a module. Its errors are for the module's author.
func Decode(wasm []byte) (*Module, error) {
	if err := recognise(wasm); err != nil {
		return nil, err
	}
	m := &Module{}
	r := NewReader(wasm[len(header):], len(header))
	last := 0
	for r.Len() > 0 {
		s, body := section(r)
		if body == nil {
			break
		}
		if s.ID != SecCustom {
			if place := order(s.ID); place <= last {
				body.Fail("section %d stands twice or in the wrong place", s.ID)
			} else {
				last = place
			}
		}
		m.decode(&s, body)
		if body.Err() != nil {
			return nil, body.Err()
		}
		m.Sections = append(m.Sections, s)
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	if len(m.Funcs) != len(m.Bodies) {
		return nil, fmt.Errorf("%d functions are declared and %d have a body", len(m.Funcs), len(m.Bodies))
	}
	return m, m.check()
}

// recognise tells what the file is if it is no core module.
func recognise(wasm []byte) error {
	if bytes.HasPrefix(wasm, []byte(header)) {
		return nil
	}
	text := bytes.TrimLeft(wasm[:min(len(wasm), 4096)], " \t\r\n\ufeff")
	switch {
	case len(wasm) == 0:
		return errors.New("the file is empty")
	case len(wasm) < len(header) && bytes.HasPrefix([]byte(header), wasm[:min(len(wasm), 4)]):
		return fmt.Errorf("the file ends after %d bytes: it was not copied whole", len(wasm))
	case bytes.HasPrefix(wasm, []byte("\x00asm\x0d\x00\x01\x00")):
		return errors.New("this is a component where a core module is expected")
	case bytes.HasPrefix(wasm, []byte(header[:4])):
		return fmt.Errorf("this is WebAssembly of version % x; this edge runs version 1 (01 00 00 00)", wasm[4:8])
	case bytes.HasPrefix(text, []byte("(module")) || bytes.HasPrefix(text, []byte(";;")) || bytes.HasPrefix(text, []byte("(;")):
		return errors.New("this is WebAssembly text; translate it first: wat2wasm FILE.wat -o FILE.wasm")
	case bytes.HasPrefix(text, []byte("(component")):
		return errors.New("this is the text of a component; translate it first: wasm-tools parse FILE.wat -o FILE.wasm")
	case bytes.HasPrefix(wasm, []byte("version https://git-lfs")):
		return errors.New("this is a pointer of Git LFS, not the file itself; commit the module without LFS")
	case bytes.HasPrefix(wasm, []byte("\x7fELF")):
		return errors.New("this is an ELF file; build for a wasm32 target")
	case utf8.Valid(text):
		return errors.New(`this is a text file, not WebAssembly, which begins with "\0asm"`)
	}
	return errors.New(`this is not WebAssembly, which begins with "\0asm"`)
}

// order is the place of a section: the data count stands before the code.
func order(id byte) int {
	switch id {
	case SecDataCount:
		return int(SecCode)*2 - 1
	default:
		return int(id) * 2
	}
}

func section(r *Reader) (Section, *Reader) {
	s := Section{ID: r.Byte()}
	size := r.U32()
	s.Offset = r.Offset()
	s.Payload = r.Bytes(size)
	if r.Err() != nil {
		return s, nil
	}
	return s, NewReader(s.Payload, s.Offset)
}

func (m *Module) decode(s *Section, r *Reader) {
	switch s.ID {
	case SecCustom:
		s.Name = r.Name()
		s.Offset += r.pos
		s.Payload = s.Payload[r.pos:]
		return
	case SecType:
		m.Types = vector(r, ReadFuncType)
	case SecImport:
		m.Imports = vector(r, ReadImport)
	case SecFunction:
		m.Funcs = vector(r, (*Reader).U32)
	case SecTable:
		m.Tables = vector(r, table)
	case SecMemory:
		m.Memories = vector(r, memory)
	case SecGlobal:
		m.Globals = vector(r, globalOf)
	case SecExport:
		m.Exports = vector(r, exportOf)
	case SecStart:
		start := r.U32()
		m.Start = &start
	case SecCode:
		m.Bodies = vector(r, bodyOf)
	case SecDataCount:
		r.U32()
	case SecElement, SecData:
		return // read by those who need them
	default:
		r.Fail("section %d is not part of WebAssembly 2.0", s.ID)
	}
	if r.Len() > 0 {
		r.Fail("section %d has %d bytes too many", s.ID, r.Len())
	}
}

func vector[T any](r *Reader, read func(*Reader) T) []T {
	n := r.Count()
	all := make([]T, 0, min(n, 1024))
	for range n {
		v := read(r)
		if r.Err() != nil {
			return nil
		}
		all = append(all, v)
	}
	return all
}

func valType(r *Reader) ValType {
	v := ValType(r.Byte())
	if !v.Valid() {
		r.Fail("type 0x%02x is not part of WebAssembly 2.0", byte(v))
	}
	return v
}

// ReadFuncType reads the type of a function.
func ReadFuncType(r *Reader) FuncType {
	if b := r.Byte(); b != 0x60 {
		r.Fail("type form 0x%02x is not part of WebAssembly 2.0", b)
	}
	return FuncType{vector(r, valType), vector(r, valType)}
}

func limits(r *Reader) Limits {
	flags := r.Byte()
	if flags > 1 {
		r.Fail("shared or 64-bit memories and tables are not part of WebAssembly 2.0 (flags %d)", flags)
		return Limits{}
	}
	l := Limits{Min: r.U32(), HasMax: flags == 1}
	if l.HasMax {
		l.Max = r.U32()
	}
	if l.HasMax && l.Max < l.Min {
		r.Fail("maximum %d is below minimum %d", l.Max, l.Min)
	}
	return l
}

// maxPages is 4 GiB.
const maxPages = 1 << 16

func memory(r *Reader) Limits {
	l := limits(r)
	if max(l.Min, l.Max) > maxPages {
		r.Fail("a memory of %d pages: 65536, which is 4 GiB, is the most there can be", max(l.Min, l.Max))
	}
	return l
}

func table(r *Reader) Table {
	t := Table{Type: valType(r)}
	if !t.Type.IsRef() {
		r.Fail("a table of %s", t.Type)
	}
	t.Limits = limits(r)
	return t
}

func globalType(r *Reader) Global {
	g := Global{Type: valType(r)}
	mutable := r.Byte()
	if mutable > 1 {
		r.Fail("a global's mutability is %d", mutable)
	}
	g.Mutable = mutable == 1
	return g
}

func globalOf(r *Reader) Global {
	g := globalType(r)
	g.Init = ConstExpr(r)
	return g
}

// ReadImport reads an import.
func ReadImport(r *Reader) Import {
	module := r.Name()
	i := ReadExtern(r)
	i.Module = module
	return i
}

// ReadExtern reads a name and a type: an import without its module.
func ReadExtern(r *Reader) Import {
	i := Import{Name: r.Name(), Kind: Kind(r.Byte())}
	switch i.Kind {
	case KindFunc:
		i.Type = r.U32()
	case KindTable:
		i.Table = table(r)
	case KindMemory:
		i.Memory = memory(r)
	case KindGlobal:
		i.Global = globalType(r)
	default:
		r.Fail("import %q is of kind %d, which is not part of WebAssembly 2.0", i.Name, i.Kind)
	}
	return i
}

func exportOf(r *Reader) Export {
	e := Export{Name: r.Name(), Kind: Kind(r.Byte()), Index: r.U32()}
	if e.Kind >= kinds {
		r.Fail("export %q is of kind %d, which is not part of WebAssembly 2.0", e.Name, e.Kind)
	}
	return e
}

// maxLocals is what a function may declare; browsers have the same bound.
const maxLocals = 50_000

func bodyOf(r *Reader) Body {
	size := r.U32()
	at := r.Offset()
	in := NewReader(r.Bytes(size), at)
	if r.Err() != nil {
		return Body{}
	}
	groups := vector(in, func(r *Reader) Locals { return Locals{r.U32(), valType(r)} })
	total := uint64(0)
	for _, g := range groups {
		total += uint64(g.Count)
	}
	if total > maxLocals {
		in.Fail("a function of %d local variables: at most %d are run", total, maxLocals)
	}
	if in.Err() != nil {
		r.fault = in.fault
	}
	return Body{Locals: groups, Expr: in.data[in.pos:], Offset: at + in.pos}
}

// ConstExpr reads a constant expression and returns it, its end included.
func ConstExpr(r *Reader) []byte {
	start := r.pos
	for r.Err() == nil {
		if ConstInstr(r) {
			return r.Since(start)
		}
	}
	return nil
}

// ConstInstr reads one instruction of a constant expression; true if it was the end.
func ConstInstr(r *Reader) (end bool) {
	switch op := r.Byte(); op {
	case 0x0b:
		return r.Err() == nil
	case 0x23, 0xd2: // global.get, ref.func
		r.U32()
	case 0xd0: // ref.null
		r.Byte()
	case 0x41:
		r.Skip(5)
	case 0x42:
		r.Skip(10)
	case 0x43:
		r.Bytes(4)
	case 0x44:
		r.Bytes(8)
	case 0xfd:
		if sub := r.U32(); sub != 12 {
			r.Fail("instruction fd %d in a constant expression", sub)
		}
		r.Bytes(16)
	default:
		r.Fail("instruction 0x%02x in a constant expression", op)
	}
	return false
}

// The most that a module may have of each; browsers allow no less than a tenth.
const (
	maxImports = 1_000
	maxItems   = 100_000
	maxTables  = 100
)

func (m *Module) bound() error {
	for _, b := range []struct {
		what     string
		has, may int
	}{
		{"types", len(m.Types), maxItems},
		{"imports", len(m.Imports), maxImports},
		{"functions", len(m.Funcs), maxItems},
		{"tables", len(m.Tables), maxTables},
		{"globals", len(m.Globals), maxItems},
		{"exports", len(m.Exports), maxItems},
	} {
		if b.has > b.may {
			return fmt.Errorf("%d %s: at most %d are taken", b.has, b.what, b.may)
		}
	}
	return nil
}

// check looks at the indices that readers of a Module rely on.
func (m *Module) check() error {
	if err := m.bound(); err != nil {
		return err
	}
	for i := range m.Imports {
		if im := &m.Imports[i]; im.Kind == KindFunc && int64(im.Type) >= int64(len(m.Types)) {
			return fmt.Errorf("import %q %q has the type %d of %d", im.Module, im.Name, im.Type, len(m.Types))
		}
	}
	for i, t := range m.Funcs {
		if int64(t) >= int64(len(m.Types)) {
			return fmt.Errorf("function %d has the type %d of %d", i, t, len(m.Types))
		}
	}
	count := [kinds]int{len(m.Funcs), len(m.Tables), len(m.Memories), len(m.Globals)}
	for k := range count {
		count[k] += m.Imported(Kind(k))
	}
	names := make(map[string]bool, len(m.Exports))
	for _, e := range m.Exports {
		if int64(e.Index) >= int64(count[e.Kind]) {
			return fmt.Errorf("export %q names %s %d of %d", e.Name, e.Kind, e.Index, count[e.Kind])
		}
		if names[e.Name] {
			return fmt.Errorf("the name %q is exported twice", e.Name)
		}
		names[e.Name] = true
	}
	if count[KindMemory] > 1 {
		return errors.New("more than one memory, which is not part of WebAssembly 2.0")
	}
	if m.Start != nil && int64(*m.Start) >= int64(count[KindFunc]) {
		return fmt.Errorf("the start function is %d of %d", *m.Start, count[KindFunc])
	}
	return nil
}
