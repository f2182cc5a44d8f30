package abi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/terrane/terrane/hostcalls"
)

// block is memory that the guest has to allocate.
type block struct {
	align, size uint32
	from        uint32 // where it is in the arena, if it has neither data nor text
	data        []byte
	text        string

	parent int32  // the block that has its place, or inMemory
	at     uint32 // where in it
	base   uint32 // its own place, once it has one
}

// blocks are those of one call, in the order of allocation.
type blocks struct {
	list  []block
	arena []byte
	next  int  // the first that has no place
	asked bool // for its place
}

// keepArena is how much of an arena is kept for the next request.
const keepArena = 64 << 10

func (b *blocks) reset() {
	clear(b.list)
	clear(b.arena)
	if cap(b.arena) > keepArena {
		b.arena = nil
	}
	b.list, b.arena, b.next, b.asked = b.list[:0], b.arena[:0], 0, false
}

func (b *blocks) add(n block) int32 {
	b.list = append(b.list, n)
	return int32(len(b.list) - 1)
}

// addSpace adds a block with zeros in the arena.
func (b *blocks) addSpace(n block) int32 {
	n.from = uint32(len(b.arena))
	b.arena = append(b.arena, make([]byte, n.size)...)
	return b.add(n)
}

var errPending = errors.New("called while memory for the result of another function is allocated")

var errNoBlock = errors.New("no memory was asked for")

// nextBlock is the import block, (place: i32) -> i64: it takes the place of the block that it
// asked for with the call before, and asks for the next one, with its alignment in the upper
// 32 bits and its size in the lower ones. It returns 0 when there are no more.
func nextBlock(_ context.Context, x *hostcalls.Exchange, g hostcalls.Guest, stack []uint64) error {
	b := &Of(x).blocks
	if b.asked {
		if err := b.place(g.Memory(), uint32(stack[0])); err != nil {
			return fmt.Errorf("%s.block: the guest's allocator: %w", Module, err)
		}
	}
	if b.next == len(b.list) {
		b.reset()
		stack[0] = 0
		return nil
	}
	next := &b.list[b.next]
	b.asked = true
	stack[0] = uint64(next.align)<<32 | uint64(next.size)
	return nil
}

// place writes the next block to its place.
func (b *blocks) place(mem []byte, ptr uint32) error {
	n := &b.list[b.next]
	if ptr%n.align != 0 {
		return alignError(ptr, n.align)
	}
	end := uint64(ptr) + uint64(n.size)
	if end > uint64(len(mem)) {
		return rangeError(ptr, uint64(n.size), len(mem))
	}
	to := mem[ptr:end]
	switch {
	case n.data != nil:
		copy(to, n.data)
	case n.text != "":
		copy(to, n.text)
	default:
		copy(to, b.arena[n.from:])
	}
	n.base = ptr
	at := uint64(n.at)
	if n.parent != inMemory {
		at += uint64(b.list[n.parent].base)
	}
	if at+4 > uint64(len(mem)) { // memory never shrinks
		return errNoBlock
	}
	binary.LittleEndian.PutUint32(mem[at:], ptr)
	b.next++
	b.asked = false
	return nil
}
