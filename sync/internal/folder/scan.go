package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
)

// scan is what a walk over one tenant's folder found.
type scan struct {
	files []file
	local bool // writers of all of them, and of the folders, are on this machine
	// trusted: each change of a file has another change time.
	trusted bool
	weak    uint64 // of the change times that are hints only
	// dirs and quick serve to see without a walk that nothing has changed.
	dirs  []entry
	quick bool
}

// file is one regular file of a scan.
type file struct {
	entry
}

// entry is a path and what stat said of it.
type entry struct {
	path string // below the tenant's folder
	full string // below the store's root
	stat stat
}

// scanner walks one tenant's folder.
type scanner struct {
	scan
	f       *Folder
	name    string
	root    *os.Root // the tenant's folder
	devs    devices
	begun   int64 // by the clock that stamps files
	sum     []byte
	entries int
}

// scan lists the files of a folder, and makes a stamp of all that a change would
// change. A refusal has a stamp too, other errors need none.
func (f *Folder) scan(root *os.Root, name string, devs devices) (scan, string, error) {
	sub, err := root.OpenRoot(name)
	if err != nil {
		return scan{}, err.Error(), err
	}
	defer sub.Close() //nolint:errcheck // opened for reading
	s := scanner{
		f: f, name: name, root: sub, devs: devs, begun: time.Now().UnixNano(), scan: scan{local: true, trusted: true, quick: true},
	}
	err = s.dir(".", 0)
	if err == nil && len(s.files) == 0 {
		err = origin.Refuse("the folder is empty: remove the folder itself to take the site down")
	}
	if err != nil {
		s.quick = false
		s.sum = append(s.sum, err.Error()...)
	}
	stamp := sha256.Sum256(s.sum)
	return s.scan, hex.EncodeToString(stamp[:]), err
}

func (s *scanner) dir(dir string, depth int) error {
	if depth > origin.MaxDepth {
		return origin.Refuse("%s: folders lie deeper than %d: flatten them", dir, origin.MaxDepth)
	}
	s.f.watch.add(path.Join(s.name, dir))
	if err := s.note(dir); err != nil {
		return err
	}
	entries, err := readDir(s.root, dir, origin.MaxEntries+1)
	if err != nil {
		return err
	}
	if s.entries += len(entries); s.entries > origin.MaxEntries {
		return origin.Refuse("more than %d files and folders: remove some", origin.MaxEntries)
	}
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue
		}
		if err := s.entry(path.Join(dir, e.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// note keeps what stat says of a directory before it is read. One that changed
// just now may change again without showing it: clocks of files are coarse.
func (s *scanner) note(dir string) error {
	info, err := s.root.Lstat(dir)
	if err != nil {
		return err
	}
	s.scan.note(entry{path: dir, full: path.Join(s.name, dir), stat: s.devs.stat(s.root, dir, info)}, s.begun)
	return nil
}

func (s *scan) note(dir entry, begun int64) {
	s.dirs = append(s.dirs, dir)
	s.local = s.local && dir.stat.kind != foreign
	s.quick = s.quick && s.local && begun-dir.stat.ctime > int64(settleLocal)
}

func (s *scanner) entry(name string, depth int) error {
	info, err := s.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		s.quick = false
		if info, err = s.root.Stat(name); err != nil || !info.Mode().IsRegular() {
			return origin.Refuse("%q is a symlink that leads to no file in the folder: put the file itself there", name)
		}
	}
	switch {
	case info.IsDir():
		return s.dir(name, depth+1)
	case !info.Mode().IsRegular():
		return origin.Refuse("%q is %s, not a file: remove it", name, kindOfFile(info.Mode()))
	}
	found := file{entry: entry{path: name, full: path.Join(s.name, name), stat: s.devs.stat(s.root, name, info)}}
	s.local = s.local && found.stat.kind != foreign
	s.quick = s.quick && s.local
	if found.stat.kind != local {
		s.trusted = false
		s.weak = s.weak*31 + uint64(found.stat.ctime)
	}
	s.sum = append(append(s.sum, name...), 0)
	s.sum = append(append(s.sum, found.stat.stable().key()...), 0)
	s.files = append(s.files, found)
	return nil
}

func kindOfFile(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	default:
		return "something special"
	}
}

// readDir returns up to limit entries by name.
func readDir(root *os.Root, dir string, limit int) ([]fs.DirEntry, error) {
	d, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // opened for reading
	entries, err := d.ReadDir(limit)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
