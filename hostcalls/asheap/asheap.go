package asheap

import (
	"context"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// The sizes of what precedes the data of an object.
const (
	stringHead = 4
	arraySize  = 8
	bufferHead = 8
)

// MaxString is how many UTF-16 units String reads. It is more than the ABI accepts of any
// string that it reads so, in bytes: what is cut is refused for its length.
const MaxString = 256<<10 + 1

// String reads a string as UTF-8; null is empty. It cuts after MaxString units.
func String(g guestmem.Guest, ptr uint32, name string) ([]byte, error) {
	units, err := Units(g, ptr, name)
	if err != nil {
		return nil, err
	}
	return FromUTF16(units[:min(len(units), 2*MaxString)]), nil
}

// Units is the UTF-16 of a string.
func Units(g guestmem.Guest, ptr uint32, name string) ([]byte, error) {
	if ptr == 0 {
		return nil, nil
	}
	head, err := guestmem.View(g, ptr, stringHead, name)
	if err != nil {
		return nil, err
	}
	return guestmem.Elements(g, ptr, stringHead, binary.LittleEndian.Uint32(head), 2, name)
}

// Array is the elements of an array; null is empty.
func Array(g guestmem.Guest, ptr, size uint32, name string) ([]byte, error) {
	if ptr == 0 {
		return nil, nil
	}
	head, err := guestmem.View(g, ptr, arraySize, name)
	if err != nil {
		return nil, err
	}
	return guestmem.Elements(g, binary.LittleEndian.Uint32(head), bufferHead, binary.LittleEndian.Uint32(head[4:]), size, name)
}

// Strings is an array of strings.
func Strings(g guestmem.Guest, ptr uint32, name string) (guestmem.List, error) {
	elems, err := Array(g, ptr, 4, name)
	return guestmem.NewList(g, elems, 4, name, element), err
}

func element(g guestmem.Guest, elem []byte, name string) ([]byte, error) {
	return String(g, binary.LittleEndian.Uint32(elem), name)
}

// FromUTF16 is the text of little-endian UTF-16 as UTF-8; half a pair becomes U+FFFD.
func FromUTF16(units []byte) []byte {
	text := make([]byte, 0, len(units)/2)
	for len(units) >= 2 {
		r := rune(binary.LittleEndian.Uint16(units))
		units = units[2:]
		if utf16.IsSurrogate(r) {
			next := rune(-1)
			if len(units) >= 2 {
				next = rune(binary.LittleEndian.Uint16(units))
			}
			if r = utf16.DecodeRune(r, next); r != utf8.RuneError {
				units = units[2:]
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text
}

// NewString makes a string of text in UTF-8; what is not UTF-8 becomes U+FFFD.
// With fold, its ASCII letters become lower case.
func NewString(ctx context.Context, m *guestmem.Allocator, g guestmem.Guest, text string, fold bool) (uint32, error) {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	ptr, err := m.Alloc(ctx, g, stringHead+2*n)
	if err != nil {
		return 0, err
	}
	at := g.Memory()[ptr:]
	binary.LittleEndian.PutUint32(at, uint32(n))
	at = at[stringHead:]
	for _, r := range text {
		if fold && 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		if r >= 0x10000 {
			high, low := utf16.EncodeRune(r)
			binary.LittleEndian.PutUint16(at, uint16(high))
			at, r = at[2:], low
		}
		binary.LittleEndian.PutUint16(at, uint16(r))
		at = at[2:]
	}
	return ptr, nil
}

// newArray makes an array of n elements of size bytes each, and returns it and
// the place of its elements.
func newArray(ctx context.Context, m *guestmem.Allocator, g guestmem.Guest, n, size int) (array, data uint32, err error) {
	buffer, err := m.Alloc(ctx, g, bufferSize(n*size))
	if err != nil {
		return 0, 0, err
	}
	guestmem.PutU32(g, buffer, uint32(n*size))
	guestmem.PutU32(g, buffer+4, 0)
	if array, err = m.Alloc(ctx, g, arraySize); err != nil {
		return 0, 0, err
	}
	guestmem.PutU32(g, array, buffer)
	guestmem.PutU32(g, array+4, uint32(n))
	return array, buffer + bufferHead, nil
}

// bufferSize is what the guest's own runtime allocates for an ArrayBuffer of n
// bytes: a power of two, within which its push grows in place.
func bufferSize(n int) int { return 1 << bits.Len(uint(n+bufferHead-1)) }

// NewBytes makes an array of bytes.
func NewBytes[T string | []byte](ctx context.Context, m *guestmem.Allocator, g guestmem.Guest, b T) (uint32, error) {
	array, data, err := newArray(ctx, m, g, len(b), 1)
	if err == nil {
		copy(g.Memory()[data:], b)
	}
	return array, err
}

// NewList makes an array of the objects that item makes of each of the items.
func NewList(ctx context.Context, m *guestmem.Allocator, g guestmem.Guest, items []string, item func(string) (uint32, error)) (uint32, error) {
	array, data, err := newArray(ctx, m, g, len(items), 4)
	if err != nil {
		return 0, err
	}
	for i := range items { // not null, should the guest's malloc look
		guestmem.PutU32(g, data+4*uint32(i), 0)
	}
	for i, s := range items {
		ptr, err := item(s)
		if err != nil {
			return 0, err
		}
		guestmem.PutU32(g, data+4*uint32(i), ptr)
	}
	return array, nil
}

// NewStrings makes an array of strings. With fold, their ASCII letters become lower case.
func NewStrings(ctx context.Context, m *guestmem.Allocator, g guestmem.Guest, items []string, fold bool) (uint32, error) {
	return NewList(ctx, m, g, items, func(s string) (uint32, error) { return NewString(ctx, m, g, s, fold) })
}

const maxAbort = 1 << 10

// AbortText reads a text of abort as well as it can: newer versions of AssemblyScript have
// other strings.
func AbortText(g guestmem.Guest, ptr uint32) string {
	// From 0.8 on, a pointer leads behind { u32 class, u32 bytes }, the class being 1 or 2.
	if ptr >= 8 {
		if head, err := guestmem.View(g, ptr-8, 8, ""); err == nil {
			class, n := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
			if units, err := guestmem.View(g, ptr, n, ""); err == nil && (class == 1 || class == 2) && n > 0 && n%2 == 0 && n <= maxAbort {
				return string(FromUTF16(units))
			}
		}
	}
	units, err := Units(g, ptr, "")
	if err != nil {
		return "?"
	}
	return string(FromUTF16(units[:min(len(units), maxAbort)]))
}
