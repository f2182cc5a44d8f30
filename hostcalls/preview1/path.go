package preview1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

const direntSize = 24

// fdReaddir fills the buffer with entries from the cookie on, the last one perhaps cut.
func fdReaddir(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	f, e := p.file(a.U32(0))
	switch {
	case e != 0:
		return e
	case !f.dir:
		return errnoNotdir
	}
	buf, err := a.Bytes(g, 1, "")
	if err != nil {
		return errnoFault
	}
	if !f.listed {
		if f.entries, err = fs.ReadDir(p.Files, f.name); err != nil {
			return errnoIO
		}
		f.listed = true
	}
	used := 0
	for cookie := a[3]; cookie < uint64(len(f.entries)) && used < len(buf); cookie++ {
		entry := f.entries[cookie]
		kind := byte(typeRegular)
		if entry.IsDir() {
			kind = typeDirectory
		}
		var head [direntSize]byte
		binary.LittleEndian.PutUint64(head[:], cookie+1)
		binary.LittleEndian.PutUint32(head[16:], uint32(len(entry.Name())))
		head[20] = kind
		used += copy(buf[used:], head[:])
		used += copy(buf[used:], entry.Name())
	}
	return put(g, a.U32(4), uint32(used))
}

// lookupPath opens the path at a[i] relative to the folder a[0].
func (p *Program) lookupPath(g guestmem.Guest, a guestmem.Args, i int) (name string, e errno) {
	dir, e := p.file(a.U32(0))
	switch {
	case e != 0:
		return "", e
	case !dir.dir:
		return "", errnoNotdir
	case a.U32(i+1) > 4096:
		return "", errnoNametoolong
	}
	b, err := a.Bytes(g, i, "")
	if err != nil {
		return "", errnoFault
	}
	if len(b) == 0 {
		return "", errnoNoent
	}
	name = path.Join(dir.name, string(b))
	if b[0] == '/' || !fs.ValidPath(name) || bytes.IndexByte(b, 0) >= 0 {
		return "", errnoNotcapable
	}
	return name, errnoSuccess
}

func errnoOf(err error) errno {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errnoNoent
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrPermission):
		return errnoNotcapable
	}
	return errnoIO
}

func pathFilestatGet(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	name, e := p.lookupPath(g, a, 2)
	if e != 0 {
		return e
	}
	info, err := fs.Stat(p.Files, name)
	if err != nil {
		return errnoOf(err)
	}
	return (&file{name: name, dir: info.IsDir(), info: info}).stat(g, a.U32(4))
}

// What path_open can be asked for.
const (
	openCreate    = 1 << 0
	openDirectory = 1 << 1
	openTruncate  = 1 << 3
	rightWrite    = 1 << 6
)

func pathOpen(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	name, e := p.lookupPath(g, a, 2)
	if e != 0 {
		return e
	}
	if a.U32(4)&(openCreate|openTruncate) != 0 {
		return errnoRofs
	}
	f, err := p.open(name)
	if err != nil {
		return errnoOf(err)
	}
	e = errnoSuccess
	switch {
	case a.U32(4)&openDirectory != 0 && !f.dir:
		e = errnoNotdir
	case a[5]&rightWrite != 0 && !f.dir:
		e = errnoRofs
	}
	if e == 0 {
		e = p.addFile(g, f, a.U32(8))
	}
	if e != 0 {
		f.close()
	}
	return e
}

// open opens a file for reading anywhere in it.
func (p *Program) open(name string) (*file, error) {
	opened, err := p.Files.Open(name)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, closer: opened}
	if f.info, err = opened.Stat(); err != nil {
		f.close()
		return nil, err
	}
	f.dir = f.info.IsDir()
	if at, ok := opened.(io.ReaderAt); ok || f.dir {
		f.content = at
		return f, nil
	}
	defer f.close()
	if err := p.Hold(f.info.Size()); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(opened, f.info.Size()))
	return &file{name: name, info: f.info, content: bytes.NewReader(content)}, err
}

func (p *Program) addFile(g guestmem.Guest, f *file, place uint32) errno {
	i := slices.Index(p.files, nil)
	if i < 0 {
		if len(p.files) == maxFiles {
			return errnoMfile
		}
		i = len(p.files)
		p.files = append(p.files, nil)
	}
	if e := put(g, place, uint32(firstFile+i)); e != 0 {
		return e
	}
	p.files[i] = f
	return errnoSuccess
}
