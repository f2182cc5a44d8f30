package terrane

import (
	"encoding/binary"
	"unsafe"
)

// slice is a pointer and a length, as the host writes them: Go's own are wider.
type slice struct{ ptr, len uint32 }

const sliceSize = 8

// blocks keeps what the host holds pointers to from the garbage collector.
var blocks = map[uint32][]byte{}

// malloc is how the host gets memory for what it hands over.
//
//go:wasmexport default_malloc_impl
func malloc(n uint32) uint32 {
	block := make([]byte, max(n, 1))
	ptr := uint32(uintptr(unsafe.Pointer(&block[0])))
	blocks[ptr] = block
	return ptr
}

func (s *slice) free() {
	delete(blocks, s.ptr)
	*s = slice{}
}

// take returns what the host left at s, and forgets it.
func (s *slice) take() []byte {
	defer s.free()
	if s.ptr == 0 {
		return nil
	}
	return blocks[s.ptr][:s.len]
}

func (s *slice) takeList() []string {
	n := s.len
	list := blocks[s.ptr]
	s.free()
	items := make([]string, n)
	for i := range items {
		word := list[i*sliceSize:]
		item := slice{binary.LittleEndian.Uint32(word), binary.LittleEndian.Uint32(word[4:])}
		items[i] = string(item.take())
	}
	return items
}

// newList makes a list that the host can read: the slices, and the texts behind them.
func newList(items []string) slice {
	size := len(items) * sliceSize
	for _, item := range items {
		size += len(item)
	}
	list := slice{malloc(uint32(size)), uint32(len(items))}
	block := blocks[list.ptr]
	at := len(items) * sliceSize
	for i, item := range items {
		binary.LittleEndian.PutUint32(block[i*sliceSize:], list.ptr+uint32(at))
		binary.LittleEndian.PutUint32(block[i*sliceSize+4:], uint32(len(item)))
		at += copy(block[at:], item)
	}
	return list
}
