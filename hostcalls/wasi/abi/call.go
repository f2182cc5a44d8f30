package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Call is one call of an import. It is void when the function has returned.
type Call struct {
	*State

	f    *function
	mem  []byte
	args []uint64
}

// U32 is core parameter i, and so is a number of fewer bits, which is what is left of it.
func (c *Call) U32(i int) uint32 { return uint32(c.args[i]) }

// U64 is core parameter i.
func (c *Call) U64(i int) uint64 { return c.args[i] }

// Bool is core parameter i.
func (c *Call) Bool(i int) bool { return uint32(c.args[i]) != 0 }

// Case is the discriminant of a variant of n cases in core parameter i.
func (c *Call) Case(i, n int) (int, error) {
	v := uint32(c.args[i])
	if v >= uint32(n) {
		return 0, fmt.Errorf("parameter %d: %d is not one of %d cases", i, v, n)
	}
	return int(v), nil
}

// Lent returns the resource of the handle in core parameter i, which is lent for the call.
func Lent[R Resource](c *Call, i int) (R, error) {
	return Get[R](c.State, c.U32(i))
}

// Taken returns the resource of the handle in core parameter i, which passes to the host.
func Taken[R Resource](c *Call, i int) (R, error) {
	return Remove[R](c.State, c.U32(i))
}

func handleError(h uint32, err error) error { return fmt.Errorf("%d %w", h, err) }

// view is n bytes of the guest's memory at ptr.
func (c *Call) view(ptr, n uint32) ([]byte, error) {
	end := uint64(ptr) + uint64(n)
	if end > uint64(len(c.mem)) {
		return nil, rangeError(ptr, uint64(n), len(c.mem))
	}
	return c.mem[ptr:end:end], nil
}

func rangeError(ptr uint32, n uint64, memory int) error {
	return fmt.Errorf("%d bytes at %#x lie outside the guest's memory of %d bytes", n, ptr, memory)
}

// Bytes is the list<u8> whose place and length are in core parameters i and i+1. It is the
// guest's memory, and void after the call.
func (c *Call) Bytes(i int) ([]byte, error) { return c.view(c.U32(i), c.U32(i+1)) }

// Text is the string whose place and length are in core parameters i and i+1, in UTF-8. It is
// void after the call.
func (c *Call) Text(i int) ([]byte, error) { return c.text(c.U32(i), c.U32(i+1)) }

var errUTF8 = errors.New("the text is not valid UTF-8")

func (c *Call) text(ptr, n uint32) ([]byte, error) {
	if c.f.encoding != utf8Encoding {
		return c.decode(ptr, n)
	}
	b, err := c.view(ptr, n)
	if err == nil && !utf8.Valid(b) {
		err = errUTF8
	}
	return b, err
}

// Items is the list whose place and length are in core parameters i and i+1, of elements of
// the type that parameter p of the function lists.
func (c *Call) Items(i, p int) (Items, error) {
	return c.items(c.U32(i), c.U32(i+1), c.f.params[p].typ.elem)
}

func (c *Call) items(ptr, n uint32, t *Type) (Items, error) {
	size := uint64(n) * uint64(t.size)
	switch {
	case size > uint64(len(c.mem)) || uint64(ptr)+size > uint64(len(c.mem)):
		return Items{}, rangeError(ptr, size, len(c.mem))
	case ptr%t.align != 0:
		return Items{}, alignError(ptr, t.align)
	}
	return Items{c: c, t: t, at: ptr, n: int(n)}, nil
}

func alignError(ptr, align uint32) error {
	return fmt.Errorf("the place %#x is no multiple of %d", ptr, align)
}

// Items is a list in the guest's memory. All of it lies within.
type Items struct {
	c  *Call
	t  *Type
	at uint32
	n  int
}

// Len is the number of elements.
func (l Items) Len() int { return l.n }

// At is element i.
func (l Items) At(i int) Item { return Item{l.c, l.t, l.at + uint32(i)*l.t.size} }

// Item is a value in the guest's memory.
type Item struct {
	c  *Call
	t  *Type
	at uint32
}

// Field is field i of a record.
func (v Item) Field(i int) Item {
	f := v.t.parts[i]
	return Item{v.c, f.typ, v.at + f.offset}
}

// Case is the case of a variant, and its payload if it has one.
func (v Item) Case() (int, Item, error) {
	i := int(v.c.mem[v.at])
	if i >= len(v.t.parts) {
		return 0, Item{}, fmt.Errorf("%d is not one of %d cases", i, len(v.t.parts))
	}
	return i, Item{v.c, v.t.parts[i].typ, v.at + v.t.payload}, nil
}

// U32 is a number or handle of at most 32 bits.
func (v Item) U32() uint32 {
	b := v.c.mem[v.at:]
	switch v.t.size {
	case 1:
		return uint32(b[0])
	case 2:
		return uint32(binary.LittleEndian.Uint16(b))
	}
	return binary.LittleEndian.Uint32(b)
}

// U64 is a number of 64 bits.
func (v Item) U64() uint64 { return binary.LittleEndian.Uint64(v.c.mem[v.at:]) }

func (v Item) pair() (ptr, n uint32) {
	b := v.c.mem[v.at : v.at+8]
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
}

// Bytes is a list<u8>, as Call.Bytes.
func (v Item) Bytes() ([]byte, error) { return v.c.view(v.pair()) }

// Text is a string, as Call.Text.
func (v Item) Text() ([]byte, error) { return v.c.text(v.pair()) }

// Items is a list.
func (v Item) Items() (Items, error) {
	ptr, n := v.pair()
	return v.c.items(ptr, n, v.t.elem)
}

// Return is the function's result if that is one core value.
func (c *Call) Return(v uint64) error {
	c.args[0] = v
	return nil
}

// ReturnBool is Return for a bool, and for a result without payloads that is an error.
func (c *Call) ReturnBool(v bool) error {
	c.args[0] = 0
	if v {
		c.args[0] = 1
	}
	return nil
}

// ReturnNew gives r a handle, as a child of the handle parent unless that is 0, and returns it.
func (c *Call) ReturnNew(r Resource, parent uint32) error {
	h, err := c.Push(r, parent)
	c.args[0] = uint64(h)
	return err
}

// Result is where the function's result goes, if that is more than one core value.
func (c *Call) Result() Place {
	return Place{c: c, t: c.f.result, block: inMemory, at: uint32(c.args[c.f.ret])}
}

// Ok is the payload of a result that is no error.
func (c *Call) Ok() Place { return c.Result().Case(0) }

// Err is the payload of a result that is an error.
func (c *Call) Err() Place { return c.Result().Case(1) }

// Done is nil: it ends a function whose result is written.
func (c *Call) Done() error { return nil }

// Fail is a result whose error is the case i of an enum, or a case without a payload.
func (c *Call) Fail(i int) error {
	c.Err().Case(i)
	return nil
}
