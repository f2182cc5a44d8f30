package sitefs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/tenant"
)

// FS is a file system with the static files of one release. Its methods are safe for
// concurrent use; each open file serves one goroutine.
type FS struct {
	time time.Time
	open func(tenant.Hash) (io.ReadSeekCloser, error)
	dirs map[string][]fs.DirEntry // by path, entries by name
	all  map[string]*fileInfo
}

// New returns the file system of a release whose content open gives.
func New(s *tenant.Snapshot, open func(tenant.Hash) (io.ReadSeekCloser, error)) *FS {
	f := &FS{time: s.Time, open: open, dirs: map[string][]fs.DirEntry{}, all: map[string]*fileInfo{}}
	f.add(".", nil)
	for name, file := range s.Files {
		if !tenant.Hidden(name) {
			f.add(name, &file)
		}
	}
	for _, entries := range f.dirs {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return f
}

// add enters a file, or with nil a folder, into the folders above it.
func (f *FS) add(name string, file *tenant.File) {
	if f.all[name] != nil || !fs.ValidPath(name) {
		return
	}
	info := &fileInfo{name: path.Base(name), time: f.time, file: file}
	f.all[name] = info
	if file == nil {
		f.dirs[name] = nil
	}
	if name == "." {
		return
	}
	dir := path.Dir(name)
	f.add(dir, nil)
	f.dirs[dir] = append(f.dirs[dir], fs.FileInfoToDirEntry(info))
}

// Open implements fs.FS. Files can be read from several places at once, but by one
// goroutine only.
func (f *FS) Open(name string) (fs.File, error) {
	info := f.all[name]
	if info == nil || !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if info.IsDir() {
		return &openDir{info: info, left: f.dirs[name]}, nil
	}
	content, err := f.open(info.file.Hash)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{content, info}, nil
}

// Stat implements fs.StatFS, without opening the file.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	if info := f.all[name]; info != nil {
		return info, nil
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// fileInfo is a file, or if file is nil a folder.
type fileInfo struct {
	name string
	time time.Time
	file *tenant.File
}

// Name is the last element of the path.
func (i *fileInfo) Name() string { return i.name }

// ModTime is the release's.
func (i *fileInfo) ModTime() time.Time { return i.time }

// IsDir reports whether it is a folder.
func (i *fileInfo) IsDir() bool { return i.file == nil }

// Sys has nothing to give.
func (i *fileInfo) Sys() any { return nil }

// Size is in bytes, 0 for a folder.
func (i *fileInfo) Size() int64 {
	if i.IsDir() {
		return 0
	}
	return i.file.Size
}

// Mode is readable by all.
func (i *fileInfo) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	io.ReadSeekCloser
	info *fileInfo
}

// Stat implements fs.File.
func (o *openFile) Stat() (fs.FileInfo, error) { return o.info, nil }

// ReadAt implements io.ReaderAt, but for the use by several goroutines.
func (o *openFile) ReadAt(b []byte, offset int64) (int, error) {
	if at, ok := o.ReadSeekCloser.(io.ReaderAt); ok {
		return at.ReadAt(b, offset)
	}
	if _, err := o.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(o.ReadSeekCloser, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

type openDir struct {
	info *fileInfo
	left []fs.DirEntry
}

// Stat implements fs.File.
func (o *openDir) Stat() (fs.FileInfo, error) { return o.info, nil }

// Close implements fs.File.
func (o *openDir) Close() error { return nil }

// Read implements fs.File.
func (o *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.info.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (o *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(o.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(o.left) {
		n = len(o.left)
	}
	entries := slices.Clone(o.left[:n])
	o.left = o.left[n:]
	return entries, nil
}
