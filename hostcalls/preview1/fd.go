package preview1

import (
	"encoding/binary"
	"io"
	"io/fs"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// The descriptors that a program begins with; files follow.
const (
	fdStdin   = 0
	fdStdout  = 1
	fdStderr  = 2
	firstFile = 3
	maxFiles  = 64
)

// The file types that a program can meet.
const (
	typeUnknown   = 0
	typeDirectory = 3
	typeRegular   = 4
)

// file is an open file or folder of the tenant's.
type file struct {
	name    string // in Tenant.Files
	dir     bool
	info    fs.FileInfo // nil for the root
	content io.ReaderAt
	closer  io.Closer
	offset  int64
	entries []fs.DirEntry
	listed  bool
}

func (f *file) close() {
	if f != nil && f.closer != nil {
		_ = f.closer.Close() // only read from
	}
}

func (f *file) filetype() byte {
	if f.dir {
		return typeDirectory
	}
	return typeRegular
}

func (f *file) size() int64 {
	if f.dir || f.info == nil {
		return 0
	}
	return f.info.Size()
}

// file returns the open file of a descriptor.
func (p *Program) file(fd uint32) (*file, errno) {
	files := p.files
	if fd < firstFile || uint64(fd)-firstFile >= uint64(len(files)) || files[fd-firstFile] == nil {
		return nil, errnoBadf
	}
	return files[fd-firstFile], errnoSuccess
}

func (p *Program) fdExists(a guestmem.Args) errno {
	if a.U32(0) <= fdStderr {
		return errnoSuccess
	}
	_, e := p.file(a.U32(0))
	return e
}

func fdClose(p *Program, _ guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) <= fdStderr {
		return errnoSuccess // what is written later still counts
	}
	f, e := p.file(a.U32(0))
	if e != 0 {
		return e
	}
	f.close()
	p.files[a.U32(0)-firstFile] = nil
	return errnoSuccess
}

func fdRenumber(p *Program, _ guestmem.Guest, a guestmem.Args) errno {
	from, e := p.file(a.U32(0))
	if e != 0 {
		return e
	}
	to, e := p.file(a.U32(1))
	if e != 0 || from == to {
		return e
	}
	to.close()
	p.files[a.U32(1)-firstFile] = from
	p.files[a.U32(0)-firstFile] = nil
	return errnoSuccess
}

func fdFdstatGet(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	kind := byte(typeUnknown)
	if a.U32(0) > fdStderr {
		f, e := p.file(a.U32(0))
		if e != 0 {
			return e
		}
		kind = f.filetype()
	}
	b, err := guestmem.View(g, a.U32(1), 24, "")
	if err != nil {
		return errnoFault
	}
	clear(b)
	b[0] = kind
	const rights = 1<<29 - 1
	binary.LittleEndian.PutUint64(b[8:], rights)
	binary.LittleEndian.PutUint64(b[16:], rights)
	return errnoSuccess
}

func fdFilestatGet(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) <= fdStderr {
		return putFilestat(g, a.U32(1), typeUnknown, 0, 0)
	}
	f, e := p.file(a.U32(0))
	if e != 0 {
		return e
	}
	return f.stat(g, a.U32(1))
}

func (f *file) stat(g guestmem.Guest, ptr uint32) errno {
	mtime := int64(0)
	if f.info != nil && !f.info.ModTime().IsZero() {
		mtime = f.info.ModTime().UnixNano()
	}
	return putFilestat(g, ptr, f.filetype(), f.size(), mtime)
}

func putFilestat(g guestmem.Guest, ptr uint32, kind byte, size, mtime int64) errno {
	b, err := guestmem.View(g, ptr, 64, "")
	if err != nil {
		return errnoFault
	}
	clear(b)
	b[16] = kind
	binary.LittleEndian.PutUint64(b[24:], 1) // links
	binary.LittleEndian.PutUint64(b[32:], uint64(size))
	for at := 40; at < 64; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], uint64(mtime))
	}
	return errnoSuccess
}

// rootName is how the preopened folder is called.
const rootName = "/"

func fdPrestatGet(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if f, e := p.file(a.U32(0)); e != 0 || f.name != "." {
		return errnoBadf
	}
	if e := put(g, a.U32(1), uint32(0)); e != 0 {
		return e
	}
	return put(g, a.U32(1)+4, uint32(len(rootName)))
}

func fdPrestatDirName(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if f, e := p.file(a.U32(0)); e != 0 || f.name != "." {
		return errnoBadf
	}
	b, err := a.Bytes(g, 1, "")
	switch {
	case err != nil:
		return errnoFault
	case len(b) < len(rootName):
		return errnoNametoolong
	}
	copy(b, rootName)
	return errnoSuccess
}
