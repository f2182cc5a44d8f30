package abi

import (
	"encoding/binary"
)

// Place is where a value of a type is lowered to: in the guest's memory, or in a block that is
// to be allocated there. It is written once.
type Place struct {
	c     *Call
	t     *Type
	block int32 // index in blocks, or inMemory
	at    uint32
}

const inMemory = -1

func (p Place) bytes() []byte {
	if p.block == inMemory {
		return p.c.mem[p.at:]
	}
	b := &p.c.blocks.list[p.block]
	return p.c.blocks.arena[b.from+p.at : b.from+b.size]
}

// Put writes a number, bool, char, flags, handle, or case of an enum.
func (p Place) Put(v uint64) {
	b := p.bytes()
	switch p.t.size {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// PutBool writes a bool.
func (p Place) PutBool(v bool) {
	if v {
		p.Put(1)
	} else {
		p.Put(0)
	}
}

// New gives r a handle, as a child of the handle parent unless that is 0, and writes it.
func (p Place) New(r Resource, parent uint32) error {
	h, err := p.c.Push(r, parent)
	p.Put(uint64(h))
	return err
}

// Field is field i of a record.
func (p Place) Field(i int) Place {
	f := p.t.parts[i]
	return Place{p.c, f.typ, p.block, p.at + f.offset}
}

// Case makes a variant its case i, and returns the place of its payload.
func (p Place) Case(i int) Place {
	if b := p.bytes(); p.t.disc == 2 {
		binary.LittleEndian.PutUint16(b, uint16(i))
	} else {
		b[0] = byte(i)
	}
	return Place{p.c, p.t.parts[i].typ, p.block, p.at + p.t.payload}
}

// None makes an option none.
func (p Place) None() { p.Case(0) }

// Some makes an option some, and returns the place of its value.
func (p Place) Some() Place { return p.Case(1) }

// Ok makes a result no error.
func (p Place) Ok() Place { return p.Case(0) }

// Err makes a result an error.
func (p Place) Err() Place { return p.Case(1) }

func (p Place) setLen(n uint32) { binary.LittleEndian.PutUint32(p.bytes()[4:], n) }

// Bytes writes a list<u8>. b must not change until the guest has it, which is when it next runs.
func (p Place) Bytes(b []byte) {
	p.setLen(uint32(len(b)))
	p.c.blocks.add(block{align: 1, size: uint32(len(b)), data: b, parent: p.block, at: p.at})
}

// Text writes a string, which must be valid UTF-8.
func (p Place) Text(s string) {
	if p.c.f.encoding != utf8Encoding {
		p.encode(s)
		return
	}
	p.setLen(uint32(len(s)))
	p.c.blocks.add(block{align: 1, size: uint32(len(s)), text: s, parent: p.block, at: p.at})
}

// List writes a list of n elements, whose places At of the result returns.
func (p Place) List(n int) List {
	t := p.t.elem
	p.setLen(uint32(n))
	i := p.c.blocks.addSpace(block{align: t.align, size: uint32(n) * t.size, parent: p.block, at: p.at})
	return List{p.c, t, i}
}

// List is a list that is being lowered.
type List struct {
	c     *Call
	t     *Type
	block int32
}

// At is the place of element i.
func (l List) At(i int) Place { return Place{l.c, l.t, l.block, uint32(i) * l.t.size} }

// Space writes a list<u8> of n bytes, which the caller fills at once.
func (p Place) Space(n int) []byte {
	p.setLen(uint32(n))
	i := p.c.blocks.addSpace(block{align: 1, size: uint32(n), parent: p.block, at: p.at})
	return Place{c: p.c, block: i}.bytes()
}

// Raw writes a list<u8> that is kept as a string.
func (p Place) Raw(s string) {
	p.setLen(uint32(len(s)))
	p.c.blocks.add(block{align: 1, size: uint32(len(s)), text: s, parent: p.block, at: p.at})
}
