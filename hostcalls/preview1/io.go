package preview1

import (
	"errors"
	"io"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// vectors calls each for the buffers listed at a[1] and a[2] until it is false.
func vectors(g guestmem.Guest, a guestmem.Args, each func(b []byte) (more bool, e errno)) errno {
	if a.U32(2) > guestmem.MaxList {
		return errnoInval
	}
	vs, err := a.Slices(g, 1, "")
	for err == nil && vs.Len() > 0 {
		var b []byte
		if b, err = vs.Next(); err != nil {
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

func fdRead(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) == fdStdin {
		return readInto(g, a, a.U32(3), p.stdin.Read)
	}
	f, e := p.readable(a.U32(0))
	if e != 0 {
		return e
	}
	return readInto(g, a, a.U32(3), func(b []byte) (int, error) {
		n, err := f.content.ReadAt(b, f.offset)
		f.offset += int64(n)
		return n, err
	})
}

func fdPread(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	f, e := p.readable(a.U32(0))
	if e != 0 {
		return e
	}
	offset := int64(a[3])
	if offset < 0 {
		return errnoInval
	}
	return readInto(g, a, a.U32(4), func(b []byte) (int, error) {
		n, err := f.content.ReadAt(b, offset)
		offset += int64(n)
		return n, err
	})
}

func (p *Program) readable(fd uint32) (*file, errno) {
	f, e := p.file(fd)
	switch {
	case e != 0:
		return nil, e
	case f.dir:
		return nil, errnoIsdir
	}
	return f, errnoSuccess
}

// readInto fills the vectors, and writes how many bytes it has read to place.
func readInto(g guestmem.Guest, a guestmem.Args, place uint32, read func([]byte) (int, error)) errno {
	if _, err := guestmem.View(g, place, 4, ""); err != nil {
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

func fdWrite(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	fd := a.U32(0)
	if fd != fdStdout && fd != fdStderr {
		if _, e := p.file(fd); e != 0 {
			return errnoBadf
		}
		return errnoRofs
	}
	if _, err := guestmem.View(g, a.U32(3), 4, ""); err != nil {
		return errnoFault
	}
	total := uint32(0)
	e := vectors(g, a, func(b []byte) (bool, errno) {
		if fd == fdStderr || p.Stdout == nil {
			p.print(&p.lines[fd-fdStdout], b)
		} else if _, err := p.Stdout.Write(b); err != nil {
			return false, errnoFbig
		}
		total += uint32(len(b))
		return true, errnoSuccess
	})
	if e != 0 {
		return e
	}
	return put(g, a.U32(3), total)
}

func fdSeek(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) <= fdStderr {
		return errnoSpipe
	}
	f, e := p.readable(a.U32(0))
	if e != 0 {
		return e
	}
	from := []int64{0, f.offset, f.size()}
	if a.U32(2) >= uint32(len(from)) {
		return errnoInval
	}
	to := from[a.U32(2)] + int64(a[1])
	if to < 0 {
		return errnoInval
	}
	f.offset = to
	return put(g, a.U32(3), uint64(to))
}

func fdTell(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) <= fdStderr {
		return errnoSpipe
	}
	f, e := p.readable(a.U32(0))
	if e != 0 {
		return e
	}
	return put(g, a.U32(1), uint64(f.offset))
}
