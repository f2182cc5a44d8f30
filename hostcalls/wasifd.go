package hostcalls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
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
func (x *Exchange) file(fd uint32) (*file, errno) {
	files := x.wasiState().files
	if fd < firstFile || uint64(fd)-firstFile >= uint64(len(files)) || files[fd-firstFile] == nil {
		return nil, errnoBadf
	}
	return files[fd-firstFile], errnoSuccess
}

func (x *Exchange) fdExists(a args) errno {
	if a.u32(0) <= fdStderr {
		return errnoSuccess
	}
	_, e := x.file(a.u32(0))
	return e
}

func fdClose(x *Exchange, _ Guest, a args) errno {
	if a.u32(0) <= fdStderr {
		return errnoSuccess // what is written later still counts
	}
	f, e := x.file(a.u32(0))
	if e != 0 {
		return e
	}
	f.close()
	x.wasi.files[a.u32(0)-firstFile] = nil
	return errnoSuccess
}

func fdRenumber(x *Exchange, _ Guest, a args) errno {
	from, e := x.file(a.u32(0))
	if e != 0 {
		return e
	}
	to, e := x.file(a.u32(1))
	if e != 0 || from == to {
		return e
	}
	to.close()
	x.wasi.files[a.u32(1)-firstFile] = from
	x.wasi.files[a.u32(0)-firstFile] = nil
	return errnoSuccess
}

func fdFdstatGet(x *Exchange, g Guest, a args) errno {
	kind := byte(typeUnknown)
	if a.u32(0) > fdStderr {
		f, e := x.file(a.u32(0))
		if e != 0 {
			return e
		}
		kind = f.filetype()
	}
	b, err := view(g, a.u32(1), 24, "")
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

func fdFilestatGet(x *Exchange, g Guest, a args) errno {
	if a.u32(0) <= fdStderr {
		return putFilestat(g, a.u32(1), typeUnknown, 0, 0)
	}
	f, e := x.file(a.u32(0))
	if e != 0 {
		return e
	}
	return f.stat(g, a.u32(1))
}

func (f *file) stat(g Guest, ptr uint32) errno {
	mtime := int64(0)
	if f.info != nil && !f.info.ModTime().IsZero() {
		mtime = f.info.ModTime().UnixNano()
	}
	return putFilestat(g, ptr, f.filetype(), f.size(), mtime)
}

func putFilestat(g Guest, ptr uint32, kind byte, size, mtime int64) errno {
	b, err := view(g, ptr, 64, "")
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

func fdPrestatGet(x *Exchange, g Guest, a args) errno {
	if f, e := x.file(a.u32(0)); e != 0 || f.name != "." {
		return errnoBadf
	}
	if e := put(g, a.u32(1), uint32(0)); e != 0 {
		return e
	}
	return put(g, a.u32(1)+4, uint32(len(rootName)))
}

func fdPrestatDirName(x *Exchange, g Guest, a args) errno {
	if f, e := x.file(a.u32(0)); e != 0 || f.name != "." {
		return errnoBadf
	}
	b, err := a.bytes(g, 1, "")
	switch {
	case err != nil:
		return errnoFault
	case len(b) < len(rootName):
		return errnoNametoolong
	}
	copy(b, rootName)
	return errnoSuccess
}

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
		case int64(len(w.stdout)+len(b)) > x.t.maxBody()+maxHeaders:
			x.fail("a response of more than the limit of %d bytes", x.t.maxBody())
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

const direntSize = 24

// fdReaddir fills the buffer with entries from the cookie on, the last one perhaps cut.
func fdReaddir(x *Exchange, g Guest, a args) errno {
	f, e := x.file(a.u32(0))
	switch {
	case e != 0:
		return e
	case !f.dir:
		return errnoNotdir
	}
	buf, err := a.bytes(g, 1, "")
	if err != nil {
		return errnoFault
	}
	if !f.listed {
		if f.entries, err = fs.ReadDir(x.t.Files, f.name); err != nil {
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
	return put(g, a.u32(4), uint32(used))
}

// lookupPath opens the path at a[i] relative to the folder a[0].
func (x *Exchange) lookupPath(g Guest, a args, i int) (name string, e errno) {
	dir, e := x.file(a.u32(0))
	switch {
	case e != 0:
		return "", e
	case !dir.dir:
		return "", errnoNotdir
	case a.u32(i+1) > 4096:
		return "", errnoNametoolong
	}
	b, err := a.bytes(g, i, "")
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

func pathFilestatGet(x *Exchange, g Guest, a args) errno {
	name, e := x.lookupPath(g, a, 2)
	if e != 0 {
		return e
	}
	info, err := fs.Stat(x.t.Files, name)
	if err != nil {
		return errnoOf(err)
	}
	return (&file{name: name, dir: info.IsDir(), info: info}).stat(g, a.u32(4))
}

// What path_open can be asked for.
const (
	openCreate    = 1 << 0
	openDirectory = 1 << 1
	openTruncate  = 1 << 3
	rightWrite    = 1 << 6
)

func pathOpen(x *Exchange, g Guest, a args) errno {
	name, e := x.lookupPath(g, a, 2)
	if e != 0 {
		return e
	}
	if a.u32(4)&(openCreate|openTruncate) != 0 {
		return errnoRofs
	}
	f, err := x.open(name)
	if err != nil {
		return errnoOf(err)
	}
	e = errnoSuccess
	switch {
	case a.u32(4)&openDirectory != 0 && !f.dir:
		e = errnoNotdir
	case a[5]&rightWrite != 0 && !f.dir:
		e = errnoRofs
	}
	if e == 0 {
		e = x.addFile(g, f, a.u32(8))
	}
	if e != 0 {
		f.close()
	}
	return e
}

// open opens a file for reading anywhere in it.
func (x *Exchange) open(name string) (*file, error) {
	opened, err := x.t.Files.Open(name)
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
	if err := x.hold(f.info.Size()); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(opened, f.info.Size()))
	return &file{name: name, info: f.info, content: bytes.NewReader(content)}, err
}

func (x *Exchange) addFile(g Guest, f *file, place uint32) errno {
	w := x.wasi
	i := slices.Index(w.files, nil)
	if i < 0 {
		if len(w.files) == maxFiles {
			return errnoMfile
		}
		i = len(w.files)
		w.files = append(w.files, nil)
	}
	if e := put(g, place, uint32(firstFile+i)); e != 0 {
		return e
	}
	w.files[i] = f
	return errnoSuccess
}
