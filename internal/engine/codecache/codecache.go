package codecache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	entriesDir   = "index"
	workPrefix   = "work-"
	defaultLimit = 8 << 30
	// keepUnnamed is how long files are kept that no entry names.
	keepUnnamed = time.Hour
)

// Cache is a directory of entries. Only Open makes one; there is nothing to close.
type Cache struct {
	dir   string
	build string
	limit int64 // bytes

	mu   sync.Mutex
	held int64 // bytes of all entries, or more
}

// Key is what an entry is found by.
type Key [sha256.Size]byte

// Entry is what is kept of one module.
type Entry struct {
	Header []byte
	Code   string // the file of code, relative to the directory, in a directory of its own; empty if there is none
}

// Open makes the directory if there is none, and prunes it. build names all that every entry
// depends on: compiler, processor.
func Open(dir, build string) (*Cache, error) {
	c := &Cache{dir: dir, build: build, limit: defaultLimit}
	if err := os.MkdirAll(filepath.Join(dir, entriesDir), 0o700); err != nil {
		return nil, err
	}
	return c, c.prune(time.Now())
}

// Key is the key of what depends on these parts, in this order.
func (c *Cache) Key(parts ...[]byte) Key {
	h := sha256.New()
	for _, part := range append([][]byte{[]byte(c.build)}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return Key(h.Sum(nil))
}

func (c *Cache) path(key Key) string {
	return filepath.Join(c.dir, entriesDir, hex.EncodeToString(key[:]))
}

// Load returns the entry, whole. An error that is fs.ErrNotExist means that there is none; any
// other that it is damaged.
func (c *Cache) Load(key Key) (*Entry, error) {
	file := c.path(key)
	raw, err := os.ReadFile(file) //nolint:gosec // its name is a digest
	if err != nil {
		return nil, err
	}
	r, err := decode(key, raw)
	if err != nil {
		return nil, err
	}
	if r.entry.Code != "" {
		sum, err := sumFile(filepath.Join(c.dir, r.entry.Code))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing", r.entry.Code)
		}
		if err != nil {
			return nil, err
		}
		if sum != r.code {
			return nil, fmt.Errorf("%s is damaged", r.entry.Code)
		}
	}
	now := time.Now()
	_ = os.Chtimes(file, now, now) // whoever cannot set it uses an entry that another process will prune
	return &r.entry, nil
}

func sumFile(name string) (sum digest, err error) {
	f, err := os.Open(name) //nolint:gosec // decode lets names below the directory pass only
	if err != nil {
		return sum, err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return digest(h.Sum(nil)), nil
}

// Work makes a directory beside the entries, for files that will be stored. Its caller
// removes it.
func (c *Cache) Work() (string, error) { return os.MkdirTemp(c.dir, workPrefix) }

// Store keeps an entry. If it has a file of code, that is file now, in a directory made by
// Work, and is moved.
func (c *Cache) Store(key Key, e Entry, file string) error {
	r, size := record{entry: e}, int64(0)
	if e.Code != "" {
		var err error
		if r.code, err = sumFile(file); err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		size = info.Size()
		to := filepath.Join(c.dir, e.Code)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(file, to)); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(c.dir, workPrefix) // prune finds what is left of it
	if err != nil {
		return err
	}
	entry := r.encode(key)
	size += int64(len(entry))
	_, err = f.Write(entry)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), c.path(key)); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held += size; c.held > c.limit {
		return c.prune(time.Now())
	}
	return nil
}

// Discard removes an entry that has proved unusable, and its file of code unless the entry is damaged:
// it may then name another's, and prune finds its own.
func (c *Cache) Discard(key Key) error {
	file := c.path(key)
	raw, err := os.ReadFile(file) //nolint:gosec // its name is a digest
	if err != nil {
		return remove(file)
	}
	r, err := decode(key, raw)
	if err != nil || r.entry.Code == "" {
		return remove(file)
	}
	return errors.Join(remove(filepath.Join(c.dir, r.entry.Code)), remove(file))
}

// kept is an entry with its file of code.
type kept struct {
	file, code string
	size       int64
	used       time.Time
}

// prune removes damaged entries, those unused for longest if all exceed the limit, until there is
// room for some more, and what no entry names. The mutex is held, but by Open.
func (c *Cache) prune(now time.Time) error {
	all, err := c.entries()
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b kept) int { return b.used.Compare(a.used) }) // the oldest last
	c.held = 0
	for _, k := range all {
		c.held += k.size
	}
	if c.held > c.limit {
		for len(all) > 1 && c.held > c.limit-c.limit/8 {
			oldest := all[len(all)-1]
			if err := errors.Join(remove(oldest.file), remove(oldest.code)); err != nil {
				return err
			}
			c.held -= oldest.size
			all = all[:len(all)-1]
		}
	}
	named := map[string]bool{}
	for _, k := range all {
		named[k.code] = true
	}
	for _, pattern := range []string{workPrefix + "*", "*/*"} { // a removed file makes its directory new
		files, _ := filepath.Glob(filepath.Join(c.dir, pattern))
		for _, file := range files {
			info, missing := os.Stat(file)
			if missing != nil || named[file] || filepath.Dir(file) == filepath.Join(c.dir, entriesDir) || now.Sub(info.ModTime()) < keepUnnamed {
				continue
			}
			if err := os.RemoveAll(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries removes those that are damaged, and returns the others.
func (c *Cache) entries() (all []kept, err error) {
	files, _ := filepath.Glob(filepath.Join(c.dir, entriesDir, "*"))
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue // another process has removed it
		}
		k := kept{file: file, size: info.Size(), used: info.ModTime()}
		code, err := readName(file)
		if err != nil {
			if err := os.RemoveAll(file); err != nil {
				return nil, err
			}
			continue
		}
		if code != "" {
			k.code = filepath.Join(c.dir, code)
			if info, err := os.Stat(k.code); err == nil {
				k.size += info.Size()
			}
		}
		all = append(all, k)
	}
	return all, nil
}

// remove removes a file, if there is one.
func remove(file string) error {
	if err := os.Remove(file); file != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
