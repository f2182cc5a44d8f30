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
	"strconv"
	"strings"
	"syscall"

	"github.com/terrane/terrane/sync/internal/origin"
)

// file is one regular file of a scan.
type file struct {
	path string
	size int64
	key  string
}

// scanner walks one tenant's folder.
type scanner struct {
	f       *Folder
	name    string
	root    *os.Root // the tenant's folder
	files   []file
	sum     []byte
	entries int
}

// scan lists the files of a folder, and makes a stamp of all that a change would
// change. A refusal has a stamp too, other errors need none.
func (f *Folder) scan(root *os.Root, name string) ([]file, string, error) {
	sub, err := root.OpenRoot(name)
	if err != nil {
		return nil, err.Error(), err
	}
	defer sub.Close() //nolint:errcheck // opened for reading
	s := scanner{f: f, name: name, root: sub}
	err = s.dir(".", 0)
	if err == nil && len(s.files) == 0 {
		err = origin.Refuse("the folder is empty: remove the folder itself to take the site down")
	}
	if err != nil {
		s.sum = append(s.sum, err.Error()...)
	}
	stamp := sha256.Sum256(s.sum)
	return s.files, hex.EncodeToString(stamp[:]), err
}

func (s *scanner) dir(dir string, depth int) error {
	if depth > origin.MaxDepth {
		return origin.Refuse("%s: folders lie deeper than %d: flatten them", dir, origin.MaxDepth)
	}
	s.f.watch.add(path.Join(s.name, dir))
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

func (s *scanner) entry(name string, depth int) error {
	info, err := s.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if info, err = s.root.Stat(name); err != nil || !info.Mode().IsRegular() {
			return origin.Refuse("%q is a symlink that leads to no file in the folder: put the file itself there", name)
		}
	}
	switch {
	case info.IsDir():
		return s.dir(name, depth+1)
	case !info.Mode().IsRegular():
		return origin.Refuse("%q is %s, not a file: remove it", name, kind(info.Mode()))
	}
	key := s.f.fileKey(info)
	s.sum = append(append(s.sum, name...), 0)
	s.sum = append(append(s.sum, key...), 0)
	s.files = append(s.files, file{path: name, size: info.Size(), key: key})
	return nil
}

// fileKey sums up what changes when a file does. Only local file systems keep
// inodes and change times.
func (f *Folder) fileKey(info fs.FileInfo) string {
	parts := []string{strconv.FormatInt(info.Size(), 36), strconv.FormatInt(info.ModTime().UnixNano(), 36)}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && f.local {
		parts = append(parts, strconv.FormatInt(st.Ctim.Nano(), 36), strconv.FormatUint(st.Ino, 36))
	}
	return strings.Join(parts, ".")
}

func kind(m fs.FileMode) string {
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
