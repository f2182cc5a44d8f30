package wasmgen

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// Options are what a module is to be like.
type Options struct {
	// Endless lets loops and recursion go on for ever. Else they end the module, in most
	// ways, after some thousands of passes and calls.
	Endless bool
}

// The import of each module, () -> (), and its export that calls the other functions.
const (
	HostModule = "test"
	HostName   = "host"
	Run        = "run"
)

// The value types.
const (
	i32 byte = 0x7f - iota
	i64
	f32
	f64
)

const valTypes = "\x7f\x7e\x7d\x7c"

type funcType struct{ params, results []byte }

// types are those of functions and blocks.
func types() []funcType {
	return []funcType{
		{},
		{[]byte{i32}, []byte{i32}},
		{[]byte{i32, i64}, []byte{i64}},
		{[]byte{f64}, []byte{f64}},
		{[]byte{i32}, nil},
		{nil, []byte{i32, i64}},
		{[]byte{f32}, []byte{f32}},
	}
}

const (
	typeProcedure = 0
	typeI32ToI32  = 1
	typePair      = 5
)

// A module's dimensions.
const (
	tableSize = 8
	maxPages  = 4
	segment   = 32 // bytes of each data segment
	budgetVar = 0  // the global that counts passes and calls
	globalsOf = 2  // globals of each type, the budget not counted
	constant  = 1 + globalsOf*4
)

// module is one that is being made.
type module struct {
	Options
	data      []byte // what decides
	functions []int  // their types, the import not counted; the last is Run
	tables    bool   // instructions that change tables and segments may be used
}

// Module makes the module that data stands for.
func Module(data []byte, o Options) []byte {
	m := &module{Options: o, data: data}
	m.tables = m.n(4) == 0
	for range 2 + m.n(4) {
		m.functions = append(m.functions, m.n(len(types())))
	}
	m.functions = append(m.functions, typeProcedure)
	last := len(m.functions) // of all functions, as the import is the first

	w := &binaryWriter{[]byte("\x00asm\x01\x00\x00\x00")}
	w.section(1, m.typeSection())
	w.section(2, cat(u32(1), text(HostModule), text(HostName), []byte{0, typeProcedure}))
	w.section(3, m.functionSection())
	w.section(4, cat(u32(1), []byte{0x70, 1}, u32(tableSize), u32(2*tableSize)))
	w.section(5, cat(u32(1), []byte{1}, u32(1+m.n(2)), u32(maxPages)))
	w.section(6, m.globalSection())
	w.section(7, cat(u32(2), text(Run), []byte{0}, u32(last), text("memory"), []byte{2, 0}))
	if start := m.n(len(m.functions) * 2); start < last-1 && m.functions[start] == typeProcedure {
		w.section(8, u32(1+start))
	}
	w.section(9, m.elements())
	w.section(12, u32(2))
	w.section(10, m.code())
	w.section(11, m.segments())
	w.section(0, m.names())
	return w.out
}

// n is a number below limit that data decides; 0 when data has ended.
func (m *module) n(limit int) int {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return int(b) % limit
}

func (m *module) typeSection() []byte {
	out := u32(len(types()))
	for _, t := range types() {
		out = cat(out, []byte{0x60}, text(string(t.params)), text(string(t.results)))
	}
	return out
}

func (m *module) functionSection() []byte {
	out := u32(len(m.functions))
	for _, t := range m.functions {
		out = append(out, byte(t))
	}
	return out
}

// globalSection makes the budget, mutable globals, and one that is not.
func (m *module) globalSection() []byte {
	out := cat(u32(constant+1), []byte{i32, 1, 0x41}, s64(int64(1000+50*m.n(256))), []byte{0x0b})
	for i := range constant - 1 {
		t := valTypes[i/globalsOf]
		out = append(cat(out, []byte{t, 1}, m.constant(t)), 0x0b)
	}
	return cat(out, []byte{i32, 0, 0x41, 7, 0x0b})
}

// elements fills the table by one segment, and leaves another one for table.init. Both
// together declare every function.
func (m *module) elements() []byte {
	all := u32(len(m.functions) + 1)
	for f := range len(m.functions) + 1 {
		all = append(all, byte(f))
	}
	return cat([]byte{2, 0, 0x41, byte(m.n(2)), 0x0b}, all, []byte{1, 0}, all)
}

// segments are one at the beginning of the memory and one that memory.init copies.
func (m *module) segments() []byte {
	bytes := func() []byte {
		b := make([]byte, segment)
		for i := range b {
			b[i] = byte(m.n(256))
		}
		return b
	}
	return cat([]byte{2, 0, 0x41, 8, 0x0b}, text(string(bytes())), []byte{1}, text(string(bytes())))
}

// names calls the functions f1, f2 and so on.
func (m *module) names() []byte {
	list := u32(len(m.functions))
	for i := range m.functions {
		list = cat(list, u32(i+1), text("f"+strconv.Itoa(i+1)))
	}
	return cat(text("name"), []byte{1}, text(string(list)))
}

func (m *module) code() []byte {
	out := u32(len(m.functions))
	for i := range m.functions {
		out = cat(out, text(string(newFunction(m, i).body())))
	}
	return out
}

// constant is an instruction that leaves a constant.
func (m *module) constant(t byte) []byte {
	small := int64(int8(m.n(256)))
	switch t {
	case i32:
		return cat([]byte{0x41}, s64(small))
	case i64:
		return cat([]byte{0x42}, s64(small<<(m.n(8)*7)))
	case f32:
		return append([]byte{0x43, 0, 0}, byte(m.n(256)), byte(small)&0xbf)
	default:
		return append([]byte{0x44, 0, 0, 0, 0, 0, 0}, byte(m.n(256)), byte(small)&0xbf)
	}
}

type binaryWriter struct{ out []byte }

func (w *binaryWriter) section(id byte, payload []byte) {
	w.out = cat(w.out, []byte{id}, text(string(payload)))
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func u32(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// text is what has its length before it: names, and vectors of bytes.
func text(s string) []byte { return append(u32(len(s)), s...) }

func s64(v int64) (out []byte) {
	for v < -0x40 || v >= 0x40 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v)&0x7f)
}
