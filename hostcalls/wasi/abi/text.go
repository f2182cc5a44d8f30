package abi

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how an import passes strings.
type encoding uint8

const (
	utf8Encoding encoding = iota
	utf16Encoding
	latin1Encoding // latin1+utf16
	encodings
)

// suffix is what an import's module has behind its version.
func (e encoding) suffix() string {
	return [encodings]string{"", "|utf16", "|latin1+utf16"}[e]
}

// utf16Tag in a length says that a string of latin1+utf16 is in UTF-16.
const utf16Tag = 1 << 31

var errUTF16 = errors.New("the text is not valid UTF-16")

// texts has what texts in other encodings than UTF-8 become. It lasts for a call.
type texts struct{ buf []byte }

// decode reads a string that is not in UTF-8.
func (c *Call) decode(ptr, n uint32) ([]byte, error) {
	wide := c.f.encoding == utf16Encoding
	if !wide {
		wide = n&utf16Tag != 0
		n &^= utf16Tag
	}
	if ptr%2 != 0 {
		return nil, alignError(ptr, 2)
	}
	start := len(c.texts.buf)
	if !wide {
		b, err := c.view(ptr, n)
		if err != nil {
			return nil, err
		}
		for _, v := range b {
			c.texts.buf = utf8.AppendRune(c.texts.buf, rune(v))
		}
		return c.texts.buf[start:], nil
	}
	if n >= 1<<31 {
		return nil, rangeError(ptr, 2*uint64(n), len(c.mem))
	}
	b, err := c.view(ptr, 2*n)
	if err != nil {
		return nil, err
	}
	for len(b) > 0 {
		r := rune(binary.LittleEndian.Uint16(b))
		b = b[2:]
		if utf16.IsSurrogate(r) {
			if len(b) < 2 {
				return nil, errUTF16
			}
			if r = utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(b))); r == utf8.RuneError {
				return nil, errUTF16
			}
			b = b[2:]
		}
		c.texts.buf = utf8.AppendRune(c.texts.buf, r)
	}
	return c.texts.buf[start:], nil
}

// encode writes a string that is not passed in UTF-8.
func (p Place) encode(s string) {
	narrow := p.c.f.encoding == latin1Encoding
	units := 0
	for _, r := range s {
		units += utf16.RuneLen(r)
		narrow = narrow && r < 1<<8
	}
	if narrow {
		p.setLen(uint32(units))
		i := p.c.blocks.addSpace(block{align: 2, size: uint32(units), parent: p.block, at: p.at})
		to := Place{c: p.c, block: i}.bytes()
		for _, r := range s {
			to[0] = byte(r)
			to = to[1:]
		}
		return
	}
	length := uint32(units)
	if p.c.f.encoding == latin1Encoding {
		length |= utf16Tag
	}
	p.setLen(length)
	i := p.c.blocks.addSpace(block{align: 2, size: uint32(2 * units), parent: p.block, at: p.at})
	to := Place{c: p.c, block: i}.bytes()
	for _, r := range s {
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			binary.LittleEndian.PutUint16(to, uint16(hi))
			to = to[2:]
			r = lo
		}
		binary.LittleEndian.PutUint16(to, uint16(r))
		to = to[2:]
	}
}

// Valid is s with the replacement character for what is not valid UTF-8.
func Valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
