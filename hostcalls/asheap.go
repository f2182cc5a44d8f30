package hostcalls

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The heap objects of AssemblyScript 0.5 and 0.6. A string is its length in UTF-16
// units, then these; an array is a pointer to an ArrayBuffer and its length in
// elements; an ArrayBuffer is its length in bytes, padding, and the data at 8.
// The host makes them with the guest's malloc; nobody frees them.
const (
	asStringHead = 4
	asArraySize  = 8
	asBufferHead = 8
)

// asString reads a string as UTF-8; null is empty. It cuts what is longer than
// anything that is not refused for its length.
func asString(g Guest, ptr uint32, name string) ([]byte, error) {
	units, err := asUnits(g, ptr, name)
	if err != nil {
		return nil, err
	}
	return fromUTF16(units[:min(len(units), 2*maxHeaders+2)]), nil
}

// asUnits is the UTF-16 of a string.
func asUnits(g Guest, ptr uint32, name string) ([]byte, error) {
	if ptr == 0 {
		return nil, nil
	}
	head, err := view(g, ptr, asStringHead, name)
	if err != nil {
		return nil, err
	}
	return elements(g, ptr, asStringHead, binary.LittleEndian.Uint32(head), 2, name)
}

// asArray is the elements of an array; null is empty.
func asArray(g Guest, ptr, size uint32, name string) ([]byte, error) {
	if ptr == 0 {
		return nil, nil
	}
	head, err := view(g, ptr, asArraySize, name)
	if err != nil {
		return nil, err
	}
	return elements(g, binary.LittleEndian.Uint32(head), asBufferHead, binary.LittleEndian.Uint32(head[4:]), size, name)
}

// asStrings is an array of strings.
func asStrings(g Guest, ptr uint32, name string) (list, error) {
	elems, err := asArray(g, ptr, 4, name)
	return list{g, elems, 4, name}, err
}

// fromUTF16 is the text of little-endian UTF-16 as UTF-8; half a pair becomes U+FFFD.
func fromUTF16(units []byte) []byte {
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

// asNewString makes a string of text in UTF-8; what is none becomes U+FFFD.
func asNewString(ctx context.Context, x *Exchange, g Guest, text string, fold bool) (uint32, error) {
	n := 0
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	ptr, err := x.mm.alloc(ctx, g, asStringHead+2*n)
	if err != nil {
		return 0, err
	}
	at := g.Memory()[ptr:]
	binary.LittleEndian.PutUint32(at, uint32(n))
	at = at[asStringHead:]
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

// asNewArray makes an array of n elements of size bytes each, and returns it and
// the place of its elements.
func asNewArray(ctx context.Context, x *Exchange, g Guest, n, size int) (array, data uint32, err error) {
	buffer, err := x.mm.alloc(ctx, g, bufferSize(n*size))
	if err != nil {
		return 0, 0, err
	}
	putU32(g, buffer, uint32(n*size))
	putU32(g, buffer+4, 0)
	if array, err = x.mm.alloc(ctx, g, asArraySize); err != nil {
		return 0, 0, err
	}
	putU32(g, array, buffer)
	putU32(g, array+4, uint32(n))
	return array, buffer + asBufferHead, nil
}

// bufferSize is what the guest's own runtime allocates for an ArrayBuffer of n
// bytes: a power of two, within which its push grows in place.
func bufferSize(n int) int { return 1 << bits.Len(uint(n+asBufferHead-1)) }

func asNewBytes[T string | []byte](ctx context.Context, x *Exchange, g Guest, b T) (uint32, error) {
	array, data, err := asNewArray(ctx, x, g, len(b), 1)
	if err == nil {
		copy(g.Memory()[data:], b)
	}
	return array, err
}

// asNewList makes an array of what make makes of each item.
func asNewList(ctx context.Context, x *Exchange, g Guest, items []string, item func(string) (uint32, error)) (uint32, error) {
	array, data, err := asNewArray(ctx, x, g, len(items), 4)
	if err != nil {
		return 0, err
	}
	for i := range items { // not null, should the guest's malloc look
		putU32(g, data+4*uint32(i), 0)
	}
	for i, s := range items {
		ptr, err := item(s)
		if err != nil {
			return 0, err
		}
		putU32(g, data+4*uint32(i), ptr)
	}
	return array, nil
}

func asNewStrings(ctx context.Context, x *Exchange, g Guest, items []string, fold bool) (uint32, error) {
	return asNewList(ctx, x, g, items, func(s string) (uint32, error) { return asNewString(ctx, x, g, s, fold) })
}

// asAbort is how AssemblyScript of any version ends with an error. It reads its
// texts as well as it can: newer versions have other strings.
func asAbort(_ context.Context, x *Exchange, g Guest, a args) error {
	x.panic = fmt.Sprintf("abort: %s at %s:%d:%d", abortText(g, a.u32(0)), abortText(g, a.u32(1)), a.u32(2), a.u32(3))
	x.log(slog.LevelError, x.panic)
	return fmt.Errorf("%s", x.panic)
}

const maxAbort = 1 << 10

func abortText(g Guest, ptr uint32) string {
	// From 0.8 on, a pointer leads behind { u32 class, u32 bytes }, the class being 1 or 2.
	if ptr >= 8 {
		if head, err := view(g, ptr-8, 8, ""); err == nil {
			class, n := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
			if units, err := view(g, ptr, n, ""); err == nil && (class == 1 || class == 2) && n > 0 && n%2 == 0 && n <= maxAbort {
				return string(fromUTF16(units))
			}
		}
	}
	units, err := asUnits(g, ptr, "")
	if err != nil {
		return "?"
	}
	return string(fromUTF16(units[:min(len(units), maxAbort)]))
}
