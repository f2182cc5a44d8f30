package hostcalls

import (
	"errors"
	"io"
)

// vectors calls each for the buffers listed at a[1] and a[2] until it is false.
func vectors(g Guest, a args, each func(b []byte) (more bool, e errno)) errno {
	if a.u32(2) > maxList {
		return errnoInval
	}
	vs, err := a.slices(g, 1, "")
	for err == nil && vs.len() > 0 {
		var b []byte
		if b, err = vs.next(); err != nil {
			break
		}
		if more, e := each(b); e != 0 || !more {
			return e
		}
	}
	if err != nil {
		return errnoFault
	}
	return errnoSuccess
}

func fdRead(x *Exchange, g Guest, a args) errno {
	if a.u32(0) == fdStdin {
		return readInto(g, a, a.u32(3), x.wasiState().stdin.Read)
	}
	f, e := x.readable(a.u32(0))
	if e != 0 {
		return e
	}
	return readInto(g, a, a.u32(3), func(b []byte) (int, error) {
		n, err := f.content.ReadAt(b, f.offset)
		f.offset += int64(n)
		return n, err
	})
}

func fdPread(x *Exchange, g Guest, a args) errno {
	f, e := x.readable(a.u32(0))
	if e != 0 {
		return e
	}
	offset := int64(a[3])
	if offset < 0 {
		return errnoInval
	}
	return readInto(g, a, a.u32(4), func(b []byte) (int, error) {
		n, err := f.content.ReadAt(b, offset)
		offset += int64(n)
		return n, err
	})
}

func (x *Exchange) readable(fd uint32) (*file, errno) {
	f, e := x.file(fd)
	switch {
	case e != 0:
		return nil, e
	case f.dir:
		return nil, errnoIsdir
	}
	return f, errnoSuccess
}

// readInto fills the vectors, and writes how many bytes it has read to place.
func readInto(g Guest, a args, place uint32, read func([]byte) (int, error)) errno {
	if _, err := view(g, place, 4, ""); err != nil {
		return errnoFault
	}
	total := uint32(0)
	e := vectors(g, a, func(b []byte) (bool, errno) {
		if len(b) == 0 {
			return true, errnoSuccess
		}
		n, err := read(b)
		total += uint32(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, errnoIO
		}
		return n == len(b), errnoSuccess
	})
	if e != 0 {
		return e
	}
	return put(g, place, total)
}

func fdWrite(x *Exchange, g Guest, a args) errno {
	fd := a.u32(0)
	if fd != fdStdout && fd != fdStderr {
		if _, e := x.file(fd); e != 0 {
			return errnoBadf
		}
		return errnoRofs
	}
	if _, err := view(g, a.u32(3), 4, ""); err != nil {
		return errnoFault
	}
	w, total := x.wasiState(), uint32(0)
	e := vectors(g, a, func(b []byte) (bool, errno) {
		switch {
		case fd == fdStderr || !x.cgi:
			x.writeLine(int(fd-fdStdout), b)
		case w.cut || int64(len(w.stdout)+len(b)) > x.t.maxBody()+maxHeaders:
			if !w.cut {
				x.fail(moreThanLimit, x.t.maxBody())
			}
			w.cut = true
			return false, errnoFbig
		default:
			w.stdout = append(w.stdout, b...)
		}
		total += uint32(len(b))
		return true, errnoSuccess
	})
	if e != 0 {
		return e
	}
	return put(g, a.u32(3), total)
}

func fdSeek(x *Exchange, g Guest, a args) errno {
	if a.u32(0) <= fdStderr {
		return errnoSpipe
	}
	f, e := x.readable(a.u32(0))
	if e != 0 {
		return e
	}
	from := []int64{0, f.offset, f.size()}
	if a.u32(2) >= uint32(len(from)) {
		return errnoInval
	}
	to := from[a.u32(2)] + int64(a[1])
	if to < 0 {
		return errnoInval
	}
	f.offset = to
	return put(g, a.u32(3), uint64(to))
}

func fdTell(x *Exchange, g Guest, a args) errno {
	if a.u32(0) <= fdStderr {
		return errnoSpipe
	}
	f, e := x.readable(a.u32(0))
	if e != 0 {
		return e
	}
	return put(g, a.u32(1), uint64(f.offset))
}
