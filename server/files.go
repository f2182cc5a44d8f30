package server

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Files is what visitors could get of a snapshot's files, as a file system that WASI
// programs read: no modules, no manifest, nothing that tenant.Hidden names. It is
// safe for concurrent use.
type Files struct {
	snap  *tenant.Snapshot
	blobs Blobs
	dirs  func() map[string][]fs.DirEntry // by path, sorted by name; made at the first use
}

// NewFiles makes a file system. It reads nothing yet.
func NewFiles(s *tenant.Snapshot, blobs Blobs) *Files {
	f := &Files{snap: s, blobs: blobs}
	f.dirs = sync.OnceValue(f.tree)
	return f
}

// Open implements fs.FS.
func (f *Files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if file, ok := f.snap.Files[name]; ok && !tenant.Hidden(name) {
		content, err := f.blobs.Open(file.Hash)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &openFile{content, entry{path.Base(name), file.Size, f.snap.Time, false}}, nil
	}
	if list, ok := f.dirs()[name]; ok {
		return &openDir{entry{path.Base(name), 0, f.snap.Time, true}, list}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (f *Files) tree() map[string][]fs.DirEntry {
	dirs := map[string][]fs.DirEntry{".": nil}
	for name, file := range f.snap.Files {
		if tenant.Hidden(name) {
			continue
		}
		e := entry{path.Base(name), file.Size, f.snap.Time, false}
		for {
			dir := path.Dir(name)
			_, known := dirs[dir]
			dirs[dir] = append(dirs[dir], e)
			if known {
				break
			}
			name, e = dir, entry{path.Base(dir), 0, f.snap.Time, true}
		}
	}
	for _, list := range dirs {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return dirs
}

// entry is a file or folder; it implements fs.FileInfo and fs.DirEntry.
type entry struct {
	name string
	size int64
	time time.Time
	dir  bool
}

// Name implements fs.FileInfo.
func (e entry) Name() string { return e.name }

// Size implements fs.FileInfo.
func (e entry) Size() int64 { return e.size }

// ModTime implements fs.FileInfo.
func (e entry) ModTime() time.Time { return e.time }

// IsDir implements fs.FileInfo.
func (e entry) IsDir() bool { return e.dir }

// Sys implements fs.FileInfo.
func (entry) Sys() any { return nil }

// Type implements fs.DirEntry.
func (e entry) Type() fs.FileMode { return e.Mode().Type() }

// Info implements fs.DirEntry.
func (e entry) Info() (fs.FileInfo, error) { return e, nil }

// Mode implements fs.FileInfo.
func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	io.ReadSeekCloser
	info entry
}

// Stat implements fs.File.
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type openDir struct {
	info entry
	rest []fs.DirEntry
}

// Stat implements fs.File.
func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }

// Read implements fs.File.
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fs.ErrInvalid}
}

// Close implements fs.File.
func (d *openDir) Close() error { return nil }

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	list := d.rest[:min(n, len(d.rest))]
	d.rest = d.rest[len(list):]
	return slices.Clone(list), nil
}
