// Package folder is the origin that is a directory: local, or a mount of
// Keybase, NFS, SMB. It is looked at by polling; file events only make it look
// sooner.
//
// A folder is taken when it has kept still for a while, and no file in it is open
// for writing (a lease tells, on local file systems) or is a module that ends in
// the middle of a section. On other file systems no lease can tell, the while is
// longer, and a copy that stalls exactly on a section boundary for all of it is
// taken for whole: there, rename files into place or write NAME.sha256 beside them.
//
// Names that start with a dot are not the tenant's: editors, rsync and file
// managers keep their drafts there.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
)

// Options configure a Folder.
type Options struct {
	Path   string        // the store's root
	Depth  int           // how deep tenants' folders lie; below 1: 1
	Settle time.Duration // how long a folder must keep still; zero: by the file system
}

const (
	settleLocal  = 100 * time.Millisecond
	settleRemote = 2 * time.Second
	// patience times Settle is how long what looks half-written is awaited before
	// it is judged as it is, and a folder that vanished before it is gone.
	patience = 10
	// maxTenants bounds what is read of the store's root.
	maxTenants = 200_000
)

// Folder implements origin.Origin. Only Open makes one.
type Folder struct {
	path   string
	depth  int
	wish   time.Duration
	settle time.Duration
	local  bool // leases can be trusted, inodes and change times are stable
	watch  *watcher
	seen   map[string]*seen
}

// seen is what is known of one tenant's folder.
type seen struct {
	stamp string    // of the last scan; empty: not there
	since time.Time // when that stamp was first found
	hold  time.Time // not to be taken before
	files []file
	err   error // the last scan's refusal
}

// Open watches the root. The root need not be there: a mount may come later.
func Open(o Options) *Folder {
	return &Folder{
		path: o.Path, depth: max(o.Depth, 1), wish: o.Settle,
		seen: map[string]*seen{}, watch: newWatcher(o.Path),
	}
}

// Hints implements origin.Origin.
func (f *Folder) Hints() <-chan struct{} { return f.watch.hints }

// Close implements origin.Origin.
func (f *Folder) Close() error { return f.watch.close() }

// Look implements origin.Origin.
func (f *Folder) Look(ctx context.Context) (*origin.Look, error) {
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	defer root.Close() //nolint:errcheck // opened for reading
	f.classify()
	look := &origin.Look{Folders: map[string]string{}, Odd: map[string]string{}}
	if err := f.names(ctx, root, ".", f.depth, look); err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	now := time.Now()
	for name := range look.Folders {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		look.Folders[name] = f.glance(root, name, now)
	}
	f.vanished(look, now)
	look.Again = f.again(now)
	return look, nil
}

func (f *Folder) classify() {
	f.local = isLocal(f.path)
	f.settle = f.wish
	switch {
	case f.settle > 0:
	case f.local:
		f.settle = settleLocal
	default:
		f.settle = settleRemote
	}
}

// names fills look.Folders with the names that lie depth levels below dir.
func (f *Folder) names(ctx context.Context, root *os.Root, dir string, depth int, look *origin.Look) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.watch.add(dir)
	entries, err := readDir(root, dir, maxTenants)
	if err != nil {
		return err
	}
	if len(entries) == maxTenants {
		return fmt.Errorf("%s holds %d entries or more: spread the tenants over several stores", dir, maxTenants)
	}
	empty := true
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.Name()[0] == '.':
		case e.Type()&fs.ModeSymlink != 0:
			look.Odd[name] = "is a symlink: a tenant's folder must be a folder itself"
		case !e.IsDir():
		case depth > 1:
			empty = false
			if err := f.names(ctx, root, name, depth-1, look); err != nil {
				return err
			}
		default:
			empty = false
			look.Folders[name] = ""
		}
	}
	if empty {
		look.Blind = append(look.Blind, dir)
	}
	return nil
}

// glance scans one folder and returns its key if it has kept still for long
// enough, else an empty one.
func (f *Folder) glance(root *os.Root, name string, now time.Time) string {
	s, ok := f.seen[name]
	if !ok {
		s = &seen{}
		f.seen[name] = s
	}
	files, stamp, err := f.scan(root, name)
	s.files, s.err = files, err
	switch {
	case errors.Is(s.err, fs.ErrNotExist): // vanished while it was read
		stamp = ""
	case s.err != nil && !errors.Is(s.err, origin.ErrRefused):
		s.err = origin.Refuse("the folder cannot be read: %v", s.err)
	}
	if stamp != s.stamp || stamp == "" {
		s.stamp, s.since = stamp, now
	}
	if now.Sub(s.since) < f.settle || now.Before(s.hold) {
		return ""
	}
	return s.stamp
}

// vanished keeps what was there a moment ago: a release that is put in place by
// two renames must not take the site down in between.
func (f *Folder) vanished(look *origin.Look, now time.Time) {
	for name, s := range f.seen {
		if _, ok := look.Folders[name]; ok {
			continue
		}
		if s.stamp != "" {
			s.stamp, s.since = "", now
		}
		if now.Sub(s.since) < patience*f.settle {
			look.Folders[name] = ""
		} else {
			delete(f.seen, name)
		}
	}
}

// again is how soon the next folder may have settled.
func (f *Folder) again(now time.Time) time.Duration {
	var next time.Duration
	for _, s := range f.seen {
		still := f.settle
		if s.stamp == "" {
			still *= patience
		}
		at := s.since.Add(still)
		if s.hold.After(at) {
			at = s.hold
		}
		if left := at.Sub(now); left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	return next
}
