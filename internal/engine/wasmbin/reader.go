package wasmbin

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Reader reads the primitives of the format. The first fault is kept, and every
// later read returns zero values.
type Reader struct {
	data  []byte
	pos   int
	base  int // offset of data in the file, for errors
	fault error
}

// NewReader reads data, which begins at offset base of the file.
func NewReader(data []byte, base int) *Reader { return &Reader{data: data, base: base} }

// Err is the first fault.
func (r *Reader) Err() error { return r.fault }

// Len is the number of bytes not read yet; 0 after a fault.
func (r *Reader) Len() int {
	if r.fault != nil {
		return 0
	}
	return len(r.data) - r.pos
}

// Pos is the number of bytes read.
func (r *Reader) Pos() int { return r.pos }

// Offset is the present position in the file.
func (r *Reader) Offset() int { return r.base + r.pos }

// Since returns the bytes from position start to the present one.
func (r *Reader) Since(start int) []byte { return r.data[start:r.pos] }

// Fail records a fault at the present position.
func (r *Reader) Fail(format string, a ...any) {
	if r.fault == nil {
		r.fault = fmt.Errorf("byte %d: "+format, append([]any{r.base + r.pos}, a...)...)
	}
}

var errEnds = errors.New("ends too early")

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if r.Len() < 1 {
		r.Fail("%w", errEnds)
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

// Peek is the next byte, which is not read; 0 at the end.
func (r *Reader) Peek() byte { return r.PeekAt(0) }

// PeekAt is the byte behind the next n; 0 if there is none.
func (r *Reader) PeekAt(n int) byte {
	if r.Len() <= n {
		return 0
	}
	return r.data[r.pos+n]
}

// Bytes reads n bytes, without copying them.
func (r *Reader) Bytes(n uint32) []byte {
	if uint64(r.Len()) < uint64(n) {
		r.Fail("%d bytes are announced and %d are left: %w", n, r.Len(), errEnds)
		return nil
	}
	b := r.data[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// U32 reads an unsigned LEB128 number of 32 bits.
func (r *Reader) U32() uint32 {
	if r.fault == nil && r.pos < len(r.data) && r.data[r.pos] < 0x80 { // nearly always
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.Byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v>>32 != 0 {
				r.Fail("a number exceeds 32 bits")
				return 0
			}
			return uint32(v)
		}
	}
	r.Fail("a number is longer than 5 bytes")
	return 0
}

// Skip passes over a LEB128 number of at most max bytes.
func (r *Reader) Skip(limit int) {
	for range limit {
		if r.Byte() < 0x80 {
			return
		}
	}
	r.Fail("a number is longer than %d bytes", limit)
}

// Count reads the length of a vector whose elements take at least one byte each.
func (r *Reader) Count() int {
	n := r.U32()
	if uint64(n) > uint64(r.Len()) {
		r.Fail("a list of %d elements in %d bytes: %w", n, r.Len(), errEnds)
		return 0
	}
	return int(n)
}

// Name reads a string, which must be UTF-8.
func (r *Reader) Name() string {
	b := r.Bytes(r.U32())
	if !utf8.Valid(b) {
		r.Fail("a name is not UTF-8")
		return ""
	}
	return string(b)
}

// TypeIndex reads an index that is encoded as a signed number.
func (r *Reader) TypeIndex() uint32 {
	start := r.pos
	v := r.U32()
	if r.fault == nil && r.pos-start < 5 && r.data[r.pos-1]&0x40 != 0 {
		r.Fail("a negative number where an index is expected")
	}
	return v
}

// S32 reads a signed LEB128 number of 32 bits.
func (r *Reader) S32() int32 {
	var v int64
	for shift := 0; shift < 35; shift += 7 {
		b := r.Byte()
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return int32(v)
		}
	}
	r.Fail("a number is longer than 5 bytes")
	return 0
}

// PeekU32 is what U32 would read.
func (r *Reader) PeekU32() uint32 {
	c := *r
	return c.U32()
}
