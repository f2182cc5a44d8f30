package guestmem

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Guest is one running instance, as an engine lends it to a host function for the time of
// one call. It is used by one goroutine, and not after the call has returned.
type Guest interface {
	// Memory is the instance's memory 0, exported or not; empty if there is none.
	// The view is void after Grow, CallTable and CallExport: fetch it again.
	Memory() []byte
	// Grow adds pages of 64 KiB to memory 0 and returns its size before, in pages;
	// false when the limit refuses.
	Grow(pages uint32) (previous uint32, ok bool)
	// CallTable calls the function at index in table 0, of type (i32) -> (i32) or,
	// if result is false, (i32) -> (). It fails with ErrNoFunction when there is no
	// such function; any other error is the guest's trap and must be returned.
	CallTable(ctx context.Context, index, arg uint32, result bool) (uint32, error)
	// CallExport is CallTable for an exported function.
	CallExport(ctx context.Context, name string, arg uint32, result bool) (uint32, error)
}

// ErrNoFunction is a Guest's answer when it has no function of that index, name or type.
var ErrNoFunction = errors.New("no such function in the guest")

// Args are the arguments of one call. The results replace them from index 0 on.
type Args []uint64

// U32 is the argument i as an unsigned 32-bit number. Its upper half is undefined.
func (a Args) U32(i int) uint32 { return uint32(a[i]) }

// Handle is the argument i as a signed 32-bit number.
func (a Args) Handle(i int) int32 { return int32(uint32(a[i])) }

// Return sets the result.
func (a Args) Return(v int32) { a[0] = uint64(uint32(v)) }

// ReturnBool sets the result to 1 for true and 0 for false.
func (a Args) ReturnBool(v bool) {
	a[0] = 0
	if v {
		a[0] = 1
	}
}

// ReturnStatus sets the result to 0 for ok and 1 for invalid.
func (a Args) ReturnStatus(ok bool) { a.ReturnBool(!ok) }

// ReturnPointer sets the result to ptr, unless that could not be made, and returns err.
func (a Args) ReturnPointer(ptr uint32, err error) error {
	a[0] = uint64(ptr)
	return err
}

// Bytes is the guest's memory at the pointer a[i] with the length a[i+1]. It is
// void once the guest runs again. Name says in an error which argument it is.
func (a Args) Bytes(g Guest, i int, name string) ([]byte, error) {
	return View(g, a.U32(i), a.U32(i+1), name)
}

// untilNUL is the length by which guests in C say that a NUL ends the text.
const untilNUL = 1<<32 - 1

// Text is Bytes, cut to limit bytes; with the length -1 the text ends before the next NUL.
func (a Args) Text(g Guest, i, limit int, name string) ([]byte, error) {
	if a.U32(i+1) != untilNUL {
		text, err := a.Bytes(g, i, name)
		return text[:min(len(text), limit)], err
	}
	mem := g.Memory()
	if int64(a.U32(i)) >= int64(len(mem)) {
		return nil, &rangeError{name, a.U32(i), 1, len(mem)}
	}
	mem = mem[a.U32(i):]
	mem = mem[:min(len(mem), limit)]
	if end := bytes.IndexByte(mem, 0); end >= 0 {
		mem = mem[:end]
	}
	return mem, nil
}

// Out returns where a function leaves a pointer and a length: a[0] and a[1]. Both
// places are checked here, before the function has any effect.
func (a Args) Out(g Guest) (Out, error) {
	o := Out{a.U32(0), a.U32(1)}
	if _, err := View(g, o.ptr, 4, "pointer result"); err != nil {
		return o, err
	}
	_, err := View(g, o.len, 4, "length result")
	return o, err
}

// View is n bytes of the guest's memory at ptr. A zero-length range is valid at any pointer.
func View(g Guest, ptr, n uint32, name string) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	mem := g.Memory()
	if end := uint64(ptr) + uint64(n); end > uint64(len(mem)) {
		return nil, &rangeError{name, ptr, n, len(mem)}
	}
	return mem[ptr : uint64(ptr)+uint64(n) : uint64(ptr)+uint64(n)], nil
}

// rangeError is an argument that lies outside the guest's memory.
type rangeError struct {
	name     string
	ptr, len uint32
	memory   int
}

func (e *rangeError) Error() string {
	return fmt.Sprintf("%s: %d bytes at %#x lie outside the guest's memory of %d bytes", e.name, e.len, e.ptr, e.memory)
}

// PutU32 writes v at ptr, which the caller has checked.
func PutU32(g Guest, ptr, v uint32) { binary.LittleEndian.PutUint32(g.Memory()[ptr:], v) }

// PutU64 writes v at ptr, which the caller has checked.
func PutU64(g Guest, ptr uint32, v uint64) { binary.LittleEndian.PutUint64(g.Memory()[ptr:], v) }

// Out is a checked pair of places in the guest's memory.
type Out struct{ ptr, len uint32 }

func (o Out) set(g Guest, ptr uint32, n int) {
	PutU32(g, o.ptr, ptr)
	PutU32(g, o.len, uint32(n))
}

// Give copies data to memory that m allocates, and writes its place to o. Empty data
// is (0, 0).
func Give[T string | []byte](ctx context.Context, m *Allocator, g Guest, o Out, data T) error {
	if len(data) == 0 {
		o.set(g, 0, 0)
		return nil
	}
	return giveEvenEmpty(ctx, m, g, o, data)
}

// giveEvenEmpty is Give with a place for empty data too.
func giveEvenEmpty[T string | []byte](ctx context.Context, m *Allocator, g Guest, o Out, data T) error {
	ptr, err := m.Alloc(ctx, g, len(data))
	if err != nil {
		return err
	}
	copy(g.Memory()[ptr:], data)
	o.set(g, ptr, len(data))
	return nil
}

// GiveFound answers a lookup: true and a place for the data, even if it is empty, or false and (0, 0).
func GiveFound[T string | []byte](ctx context.Context, m *Allocator, g Guest, a Args, o Out, data T, found bool) error {
	a.ReturnBool(found)
	if !found {
		o.set(g, 0, 0)
		return nil
	}
	return giveEvenEmpty(ctx, m, g, o, data)
}

// GiveList is Give for a list of items. With fold, their ASCII letters become lower case.
func GiveList(ctx context.Context, m *Allocator, g Guest, o Out, items []string, fold bool) error {
	if len(items) == 0 {
		o.set(g, 0, 0)
		return nil
	}
	list, err := m.Alloc(ctx, g, 8*len(items))
	if err != nil {
		return err
	}
	for i, item := range items {
		ptr, err := m.Alloc(ctx, g, len(item))
		if err != nil {
			return err
		}
		mem := g.Memory()
		data := mem[ptr : int(ptr)+len(item)]
		copy(data, item)
		if fold {
			lower(data)
		}
		slot := mem[list+8*uint32(i):]
		binary.LittleEndian.PutUint32(slot, ptr)
		binary.LittleEndian.PutUint32(slot[4:], uint32(len(item)))
	}
	o.set(g, list, len(items))
	return nil
}

// sliceSize is the size of a GuestSlice, { ptr, len u32 }.
const sliceSize = 8

// Slices is the list of GuestSlices at the pointer a[i] with the length a[i+1].
func (a Args) Slices(g Guest, i int, name string) (List, error) {
	elems, err := Elements(g, a.U32(i), 0, a.U32(i+1), sliceSize, name)
	return NewList(g, elems, sliceSize, name, slice), err
}

func slice(g Guest, elem []byte, name string) ([]byte, error) {
	return View(g, binary.LittleEndian.Uint32(elem), binary.LittleEndian.Uint32(elem[4:]), name)
}

// List is a list of strings in the guest's memory.
type List struct {
	g    Guest
	rest []byte
	size int
	name string
	item func(g Guest, elem []byte, name string) ([]byte, error)
}

// NewList is the list whose elements, of size bytes each, are in elems. item reads the
// string that an element stands for.
func NewList(g Guest, elems []byte, size int, name string, item func(g Guest, elem []byte, name string) ([]byte, error)) List {
	return List{g, elems, size, name, item}
}

// Len is the number of strings left.
func (l *List) Len() int { return len(l.rest) / l.size }

// Next takes the first of the strings that are left.
func (l *List) Next() ([]byte, error) {
	elem := l.rest[:l.size]
	l.rest = l.rest[l.size:]
	return l.item(l.g, elem, l.name)
}

// Elements is n elements of size bytes each, which begin head bytes behind ptr.
func Elements(g Guest, ptr, head, n, size uint32, name string) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	mem := g.Memory()
	from := uint64(ptr) + uint64(head)
	end := from + uint64(n)*uint64(size)
	if end > uint64(len(mem)) {
		return nil, &rangeError{name, uint32(from), uint32(min(end-from, 1<<32-1)), len(mem)}
	}
	return mem[from:end:end], nil
}

// MaxList is the length of the longest list that a guest may pass.
const MaxList = 1024

// Allocator gets memory for data that the guest will own: from the guest's own
// malloc if it can be found, else from pages that the memory grows by. The zero value
// looks for the guest's export "default_malloc_impl". It serves one instance.
type Allocator struct {
	malloc     uint32 // index in table 0
	inited     bool
	noExport   bool // default_malloc_impl was looked for
	busy       bool
	next, room uint32 // what is left of the pages grown last
}

// spare zero bytes follow each allocation: guests in C take what they get for
// NUL-terminated, and one reads 32 bytes of a value of 16.
const spare = 32

const pageSize = 64 << 10

var (
	errReentered = errors.New("the guest's malloc called a function that allocates")
	errNoMemory  = errors.New("the guest's memory cannot grow any further")
	errTooLong   = errors.New("the data is longer than a guest's memory can be")
)

// Use names the guest's malloc: the function at an index of table 0, of type (i32) -> (i32).
func (m *Allocator) Use(malloc uint32) { m.malloc, m.inited = malloc, true }

// Alloc returns the place of n+spare bytes in the guest's memory, the spare ones
// zero. The guest may run, so every view of its memory is void.
func (m *Allocator) Alloc(ctx context.Context, g Guest, n int) (uint32, error) {
	if m.busy {
		return 0, errReentered
	}
	if uint64(n)+spare > 1<<31 {
		return 0, errTooLong
	}
	m.busy = true
	ptr, err := m.find(ctx, g, uint32(n)+spare)
	m.busy = false
	if err != nil {
		return 0, err
	}
	block, err := View(g, ptr, uint32(n)+spare, "the guest's malloc")
	if err != nil {
		return 0, err
	}
	clear(block[n:])
	return ptr, nil
}

func (m *Allocator) find(ctx context.Context, g Guest, n uint32) (uint32, error) {
	if m.inited {
		ptr, err := g.CallTable(ctx, m.malloc, n, true)
		if !errors.Is(err, ErrNoFunction) {
			return checked(ptr, n, err)
		}
		m.inited = false
	}
	if !m.noExport {
		ptr, err := g.CallExport(ctx, "default_malloc_impl", n, true)
		if !errors.Is(err, ErrNoFunction) {
			return checked(ptr, n, err)
		}
		m.noExport = true
	}
	return m.bump(g, n)
}

func checked(ptr, n uint32, err error) (uint32, error) {
	if err == nil && ptr == 0 {
		return 0, fmt.Errorf("the guest's malloc has no %d bytes", n)
	}
	return ptr, err
}

// bump takes from the pages grown last, and grows more when they are used up.
func (m *Allocator) bump(g Guest, n uint32) (uint32, error) {
	const align = 16
	n = (n + align - 1) &^ (align - 1)
	if n > m.room {
		pages := (n + align + pageSize - 1) / pageSize
		previous, ok := g.Grow(pages)
		if !ok {
			return 0, errNoMemory
		}
		if start := previous * pageSize; m.next+m.room != start || start == 0 {
			m.next, m.room = start+align, pages*pageSize-align // place 0 would be no place
		} else {
			m.room += pages * pageSize
		}
	}
	ptr := m.next
	m.next += n
	m.room -= n
	return ptr, nil
}

func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}
