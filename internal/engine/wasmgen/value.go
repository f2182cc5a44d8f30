package wasmgen

import "strings"

// Instructions by the position of the type of what they leave in valTypes: those with one
// and with two operands of that type, loads, stores, comparisons, and conversions, each behind the
// type of its operand.
const (
	unary  = "\x45\x67\x68\x69\xc0\xc1 \x79\x7a\x7b\xc2\xc3\xc4 \x8b\x8c\x8d\x8e\x8f\x90\x91 \x99\x9a\x9b\x9c\x9d\x9e\x9f"
	dyadic = "\x46\x47\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f\x6a\x6b\x6c\x6e\x71\x72\x73\x74\x75\x76\x77\x78 \x7c\x7d\x7e\x81\x83\x84\x85\x86\x87\x88\x89\x8a " +
		"\x92\x93\x94\x95\x96\x97\x98 \xa0\xa1\xa2\xa3\xa4\xa5\xa6"
	loads   = "\x28\x2c\x2d\x2e\x2f \x29\x30\x31\x32\x33\x34\x35 \x2a \x2b"
	stores  = "\x36\x3a\x3b \x37\x3c\x3d\x3e \x38 \x39"
	compare = "\x48\x4b \x51\x53\x54 \x5b\x5d\x60 \x61\x63\x66"
	convert = "\x7e\xa7\x7d\xbc\x7e\x50\x7d\xa8\x7c\xaa \x7f\xac\x7f\xad\x7c\xbd\x7c\xb0 \x7f\xb2\x7c\xb6\x7f\xbe \x7f\xb7\x7d\xbb\x7e\xbf"
)

// of are the instructions of a list for the type.
func of(list string, t byte) string { return strings.Split(list, " ")[i32-t] }

// pick writes one of the instructions.
func (f *function) pick(from string) { f.op(from[f.n(len(from))]) }

// value writes instructions that leave a value of the type.
func (f *function) value(t byte, depth int) {
	f.room--
	if depth >= maxDepth || f.room <= 0 {
		f.leaf(t)
		return
	}
	switch f.n(12) {
	case 0:
		f.value(t, depth+1)
		f.pick(of(unary, t))
	case 1, 2:
		f.value(t, depth+1)
		f.value(t, depth+1)
		f.pick(of(dyadic, t))
	case 3:
		pairs := of(convert, t)
		i := 2 * f.n(len(pairs)/2)
		f.value(pairs[i], depth+1)
		f.op(pairs[i+1])
	case 4:
		f.address(depth)
		f.pick(of(loads, t))
		f.op(0, byte(f.n(100)))
	case 5:
		f.block([]byte{0x02, t}, []byte{t}, []byte{t}, depth)
	case 6:
		f.value(i32, depth+1)
		f.block([]byte{0x04, t}, []byte{t}, []byte{t}, depth)
	case 7:
		f.value(t, depth+1)
		f.value(t, depth+1)
		f.value(i32, depth+1)
		f.op(0x1b)
	case 8:
		f.value(t, depth+1)
		f.op(0x22, f.local(t))
	case 9:
		f.loopValue(t, depth)
	case 10:
		f.special(t, depth)
	default:
		f.leaf(t)
	}
}

func (f *function) leaf(t byte) {
	switch f.n(3) {
	case 0:
		f.out = append(f.out, f.constant(t)...)
	case 1:
		f.op(0x20, f.local(t))
	default:
		f.op(0x23, f.global(t))
	}
}

// loopValue is a small loop that leaves a value, or two.
func (f *function) loopValue(t byte, depth int) {
	counter := f.count + byte(f.loops)
	f.loops++
	f.op(0x41, byte(1+f.n(60)), 0x21, counter, 0x03)
	results := []byte{t}
	if t == i64 && f.n(2) == 0 {
		results = types()[typePair].results
		f.op(typePair)
	} else {
		f.op(t)
	}
	f.labels = append(f.labels, nil)
	f.spend()
	f.statements(maxDepth)
	f.op(0x20, counter, 0x41, 1, 0x6b, 0x22, counter, 0x0d, 0)
	f.values(results, depth+1)
	f.labels = f.labels[:len(f.labels)-1]
	f.op(0x0b)
	if len(results) > 1 {
		f.op(0x21, f.local(i64), 0x1a, 0x20, f.local(i64))
	}
	f.loops--
}

// special is what only some types have.
func (f *function) special(t byte, depth int) {
	switch {
	case t == i32 && f.n(2) == 0:
		switch f.n(5) {
		case 0:
			f.op(0x3f, 0)
		case 1:
			f.op(0x41, byte(f.n(3)), 0x40, 0)
		case 2:
			f.op(0xd2, byte(f.n(len(f.functions)+1)), 0xd1)
		case 3:
			f.op(0xfc, 16, 0)
		default:
			f.op(0x23, constant)
		}
	case t == i32 && f.n(8) == 0: // mostly traps
		f.value(i32, depth+1)
		f.value(i32, depth+1)
		f.op(0x41, 3, 0x71, 0x11, typeI32ToI32, 0)
	default:
		operand := f.anyType()
		f.value(operand, depth+1)
		f.value(operand, depth+1)
		f.pick(of(compare, operand))
		if t == i64 {
			f.op(0xad)
		} else if t != i32 {
			f.op(0xb2 + (f32-t)*5) // f32.convert_i32_s, f64.convert_i32_s
		}
	}
}

// address is mostly within the first page.
func (f *function) address(depth int) {
	f.value(i32, depth+1)
	if f.n(64) > 0 {
		f.op(0x41)
		f.out = append(f.out, s64(0x7fff)...)
		f.op(0x71)
	}
}

// simple is a statement without others in it.
func (f *function) simple(depth int) {
	t := f.anyType()
	switch f.n(8) {
	case 0, 1:
		f.value(t, depth+1)
		f.op(0x21, f.local(t))
	case 2, 3:
		f.value(t, depth+1)
		f.op(0x24, f.global(t))
	case 4, 5:
		f.address(depth)
		f.value(t, depth+1)
		f.pick(of(stores, t))
		f.op(0, byte(f.n(100)))
	case 6:
		f.bulk(depth)
	default:
		f.value(t, depth+1)
		f.op(0x1a)
	}
}

// bulk is an instruction on many bytes or elements.
func (f *function) bulk(depth int) {
	length := func(most byte) { f.value(i32, depth+1); f.op(0x41, most, 0x71) }
	if !f.tables {
		f.address(depth)
		switch f.n(3) {
		case 0:
			f.address(depth)
			length(63)
			f.op(0xfc, 10, 0, 0)
		case 1:
			f.op(0x41, byte(f.n(segment)))
			length(15)
			f.op(0xfc, 8, 1, 0)
		default:
			f.value(i32, depth+1)
			f.op(0x41)
			f.out = append(f.out, s64(int64(8*f.n(256)))...)
			f.op(0xfc, 11, 0)
		}
		return
	}
	length(2*tableSize - 1)
	switch f.n(7) {
	case 0:
		f.op(0xd2, byte(f.n(len(f.functions)+1)), 0x26, 0)
	case 1:
		f.op(0x41, 0, 0x41, byte(f.n(4)), 0xfc, 12, 1, 0)
	case 2:
		f.op(0x1a, 0xfc, 13, 1)
	case 3:
		f.op(0x41, byte(f.n(tableSize)), 0x41, byte(f.n(4)), 0xfc, 14, 0, 0)
	case 4:
		f.op(0x1a, 0xd0, 0x70, 0x41, byte(f.n(4)), 0xfc, 15, 0, 0x1a)
	case 5:
		f.op(0xd0, 0x70, 0x41, byte(f.n(4)), 0xfc, 17, 0)
	default:
		f.op(0x1a, 0xfc, 9, 1)
	}
}
