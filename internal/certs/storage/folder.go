package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"
)

// Storage keeps certificates, their keys and ACME accounts for all edges that share
// it, and locks that exclude each other on all of them. certstest holds its contract
// as tests.
type Storage = certmagic.Storage

// KeyInfo is what Storage.Stat answers.
type KeyInfo = certmagic.KeyInfo

// maxValue bounds what is read from storage, in bytes.
const maxValue = 1 << 20

// FolderOptions are what NewFolder takes.
type FolderOptions struct {
	Dir string // made if missing; a folder that all edges see
	// Lease is how long the lock of an edge that died excludes others. It must be
	// longer than the file system ever stalls; all edges agree on it. Default 10 s.
	Lease time.Duration
}

// Folder is a Storage in a folder, of one machine or of a network file system that
// creates files exclusively and renames them atomically (any local one, NFS). It is
// safe for concurrent use.
//
// Files are replaced whole and are readable by their owner only. A lock starts a
// goroutine that ends with Unlock.
type Folder struct {
	dir   string
	lease time.Duration

	mu   sync.Mutex
	held map[string]*heldLock
}

// NewFolder makes the folder if it is missing.
func NewFolder(o FolderOptions) (*Folder, error) {
	if o.Dir == "" {
		return nil, errors.New("storage: a folder for certificates is needed")
	}
	if o.Lease <= 0 {
		o.Lease = 10 * time.Second
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return &Folder{dir: o.Dir, lease: o.Lease, held: make(map[string]*heldLock)}, nil
}

// path is where a key lies. Names that start with a dot are the folder's own.
func (f *Folder) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return filepath.Join(f.dir, filepath.FromSlash(key)), checkKey(key)
}

// checkKey refuses keys that could lead out of a storage, or to what is its own.
func checkKey(key string) error {
	if !fs.ValidPath(key) || strings.Contains("/"+key, "/.") && key != "." || strings.ContainsAny(key, "\\\x00") {
		return fmt.Errorf("%q is no key of a storage", key)
	}
	return nil
}

// Store replaces the value at key, and returns when it is on disk.
func (f *Folder) Store(ctx context.Context, key string, value []byte) error {
	file, err := f.path(ctx, key)
	if err != nil {
		return err
	}
	for {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		err := WriteFile(filepath.Dir(file), filepath.Base(file), value, 0o600, os.Rename)
		if !errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return err
		}
		// A Delete has just removed the empty folder.
	}
}

// Load returns the value at key.
func (f *Folder) Load(ctx context.Context, key string) (_ []byte, err error) {
	name, err := f.path(ctx, key)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(name) //nolint:gosec // inside the folder, by path
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	value, err := io.ReadAll(io.LimitReader(file, maxValue+1))
	switch {
	case errors.Is(err, syscall.EISDIR):
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	case err != nil:
		return nil, err
	case len(value) > maxValue:
		return nil, fmt.Errorf("%s: larger than %d bytes", key, maxValue)
	}
	return value, nil
}

// Delete removes key and all below it, and folders that are empty then.
func (f *Folder) Delete(ctx context.Context, key string) error {
	file, err := f.path(ctx, key)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if os.Remove(filepath.Join(f.dir, filepath.FromSlash(dir))) != nil {
			break // not empty
		}
	}
	return nil
}

// Exists says whether there is a value at key or below.
func (f *Folder) Exists(ctx context.Context, key string) bool {
	_, err := f.Stat(ctx, key)
	return err == nil
}

// Stat describes a key.
func (f *Folder) Stat(ctx context.Context, key string) (KeyInfo, error) {
	file, err := f.path(ctx, key)
	if err != nil {
		return KeyInfo{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return KeyInfo{}, err
	}
	return KeyInfo{Key: key, Modified: info.ModTime(), Size: info.Size(), IsTerminal: !info.IsDir()}, nil
}

// List names the keys below prefix: those of values at any depth if recursive, else
// those one step below, folders included.
func (f *Folder) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if prefix == "" {
		prefix = "."
	}
	if _, err := f.path(ctx, prefix); err != nil {
		return nil, err
	}
	var keys []string
	err := fs.WalkDir(os.DirFS(f.dir), prefix, func(key string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && key != prefix:
			return nil // removed meanwhile
		case err != nil:
			return err
		case key == prefix:
			return ctx.Err()
		case strings.HasPrefix(d.Name(), "."): // our own
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !recursive || !d.IsDir() {
			keys = append(keys, key)
		}
		if d.IsDir() && !recursive {
			return fs.SkipDir
		}
		return ctx.Err()
	})
	return keys, err
}
