package hostcalls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// args are the arguments of one call, and then its results.
type args []uint64

func (a args) u32(i int) uint32      { return uint32(a[i]) }
func (a args) handle(i int) int32    { return int32(uint32(a[i])) }
func (a args) returns(v int32)       { a[0] = uint64(uint32(v)) }
func (a args) returnsBool(v bool)    { a[0] = 0; a.setIf(v) }
func (a args) returnsStatus(ok bool) { a[0] = 0; a.setIf(!ok) }
func (a args) setIf(v bool) {
	if v {
		a[0] = 1
	}
}

// bytes is the guest's memory at the pointer a[i] with the length a[i+1]. It is
// void once the guest runs again.
func (a args) bytes(g Guest, i int, name string) ([]byte, error) {
	return view(g, a.u32(i), a.u32(i+1), name)
}

// out is where a function leaves a pointer and a length: a[0] and a[1]. They are
// checked here, before the function does anything.
func (a args) out(g Guest) (out, error) {
	o := out{a.u32(0), a.u32(1)}
	if _, err := view(g, o.ptr, 4, "pointer result"); err != nil {
		return o, err
	}
	_, err := view(g, o.len, 4, "length result")
	return o, err
}

// view is n bytes of the guest's memory at ptr. No bytes may stand anywhere.
func view(g Guest, ptr, n uint32, name string) ([]byte, error) {
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

func putU32(g Guest, ptr, v uint32) { binary.LittleEndian.PutUint32(g.Memory()[ptr:], v) }

// out is a checked pair of places in the guest's memory.
type out struct{ ptr, len uint32 }

func (o out) set(g Guest, ptr uint32, n int) {
	putU32(g, o.ptr, ptr)
	putU32(g, o.len, uint32(n))
}

// give hands data to the guest in memory of its own allocator, and its place in o.
// Nothing is (0, 0).
func give[T string | []byte](ctx context.Context, x *Exchange, g Guest, o out, data T) error {
	if len(data) == 0 {
		o.set(g, 0, 0)
		return nil
	}
	return giveEvenEmpty(ctx, x, g, o, data)
}

// giveEvenEmpty is give for data that is there even if it is empty.
func giveEvenEmpty[T string | []byte](ctx context.Context, x *Exchange, g Guest, o out, data T) error {
	ptr, err := x.mm.alloc(ctx, g, len(data))
	if err != nil {
		return err
	}
	copy(g.Memory()[ptr:], data)
	o.set(g, ptr, len(data))
	return nil
}

// giveFound answers a lookup: the data and true, even if it is empty, or nothing and false.
func giveFound[T string | []byte](ctx context.Context, x *Exchange, g Guest, a args, o out, data T, found bool) error {
	a.returnsBool(found)
	if !found {
		o.set(g, 0, 0)
		return nil
	}
	return giveEvenEmpty(ctx, x, g, o, data)
}

// giveList hands over a list of items. With fold, their ASCII letters become lower case.
func (x *Exchange) giveList(ctx context.Context, g Guest, o out, items []string, fold bool) error {
	if len(items) == 0 {
		o.set(g, 0, 0)
		return nil
	}
	list, err := x.mm.alloc(ctx, g, 8*len(items))
	if err != nil {
		return err
	}
	for i, item := range items {
		ptr, err := x.mm.alloc(ctx, g, len(item))
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

// slices is the list of GuestSlices at the pointer a[i] with the length a[i+1].
func (a args) slices(g Guest, i int, name string) (list, error) {
	elems, err := elements(g, a.u32(i), 0, a.u32(i+1), sliceSize, name)
	return list{g, elems, sliceSize, name}, err
}

// list is a list of strings in the guest's memory: GuestSlices, or pointers to
// strings of AssemblyScript, as the size of an element tells.
type list struct {
	g    Guest
	rest []byte
	size int
	name string
}

func (l *list) len() int { return len(l.rest) / l.size }

// next takes the first of the strings that are left.
func (l *list) next() ([]byte, error) {
	head := l.rest[:l.size]
	l.rest = l.rest[l.size:]
	ptr := binary.LittleEndian.Uint32(head)
	if l.size == sliceSize {
		return view(l.g, ptr, binary.LittleEndian.Uint32(head[4:]), l.name)
	}
	return asString(l.g, ptr, l.name)
}

// elements is n elements of size bytes each, which stand head bytes behind ptr.
func elements(g Guest, ptr, head, n, size uint32, name string) ([]byte, error) {
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

// maxList is the length of the longest list that a guest may pass.
const maxList = 1024

// allocator gets memory for data that the guest will own: from the guest's own
// malloc if it can be found, else from pages that the memory grows by.
type allocator struct {
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

// alloc returns the place of n+spare bytes in the guest's memory, the spare ones
// zero. The guest may run, so every view of its memory is void.
func (m *allocator) alloc(ctx context.Context, g Guest, n int) (uint32, error) {
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
	block, err := view(g, ptr, uint32(n)+spare, "the guest's malloc")
	if err != nil {
		return 0, err
	}
	clear(block[n:])
	return ptr, nil
}

func (m *allocator) find(ctx context.Context, g Guest, n uint32) (uint32, error) {
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
func (m *allocator) bump(g Guest, n uint32) (uint32, error) {
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
