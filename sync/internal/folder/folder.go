// Package folder is the origin that is a directory: local, or a mount of
// Keybase, NFS, SMB. It is looked at by polling; file events only make it look
// sooner.
//
// A folder is taken when it has kept still for a while, and no file in it is open
// for writing (a lease tells, on local file systems) or is a module that ends in
// the middle of a section. On other file systems, and on files of other users
// without CAP_LEASE, no lease can tell, the while is longer, and a copy that stalls
// exactly on a section boundary for all of it is taken for whole: there, rename files
// into place or write NAME.sha256 next to them.
//
// Any folder or file below the root may be a mount. Each is judged by the file system
// that it is on, at each walk, and a file once more when it is opened.
//
// Where a change time does not tell of each change (all but local file systems) the
// content of folders is read again in the background, at a bounded rate, and compared
// with what was taken; at first soon after the start. A change time or an inode that
// is there is used as a hint: it has the folder read again soon. Change times of local
// file systems are trusted. What they do not tell of is seen by Recheck only: a change
// of the disk below the file system, and, without CAP_LEASE, one by a process that
// keeps the file mapped.
//
// Names that start with a dot are not the tenant's: editors, rsync and file
// managers keep their drafts there.
package folder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
)

// Options configure a Folder.
type Options struct {
	Path   string        // the store's root
	Depth  int           // how deep tenants' folders lie; below 1: 1
	Settle time.Duration // how long a folder must keep still; zero: by the file system
	Poll   time.Duration // how often all folders are looked at, not only those with events
	// Wanted names folders to look for even if the root does not list them: Keybase
	// lists favorites only. Nil: none.
	Wanted func() []string
	Reread Reread
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
	o      Options
	watch  *watcher
	reread *rereader
	began  string  // sets this process apart from others
	devs   devices // as the current look has found them
	seen   map[string]*seen
	last   *origin.Look
	root   scan         // of the folders above tenants' folders
	named  *origin.Look // what they held
	full   time.Time    // of the last look at all folders
}

// seen is what is known of one tenant's folder.
type seen struct {
	mark   string        // see rereading
	stamp  string        // of the last scan; empty: not there
	settle time.Duration // how long the folder must keep still
	since  time.Time     // when that stamp was first found
	hold   time.Time     // not to be taken before
	tries  int           // times that it was found half-written
	scan
	err error // the last scan's refusal
}

// Open watches the root until Close, and reads content again while ctx is not done.
// The root need not be there: a mount may come later.
func Open(ctx context.Context, o Options) *Folder {
	o.Depth = max(o.Depth, 1)
	f := &Folder{o: o, began: stampOf(time.Now()), devs: devices{}, seen: map[string]*seen{}, watch: newWatcher(o.Path, o.Depth)}
	f.reread = newRereader(ctx, f, o.Reread)
	return f
}

// Hints implements origin.Origin.
func (f *Folder) Hints() <-chan struct{} { return f.watch.hints }

// Close implements origin.Origin.
func (f *Folder) Close() error {
	f.reread.close()
	return f.watch.close()
}

// Look implements origin.Origin. All folders are looked at when a poll is due,
// events were lost, or there is no other reason to look; else those that had
// events or have not settled.
func (f *Folder) Look(ctx context.Context) (*origin.Look, error) {
	now := time.Now()
	dirty, all := f.watch.take()
	if f.last == nil || now.Sub(f.full) >= f.o.Poll*3/4 || (len(dirty) == 0 && f.again(now, false) == 0) {
		all = true
	}
	look, err := f.lookAt(ctx, now, dirty, all)
	if err != nil {
		f.last = nil
		return nil, err
	}
	f.last = look
	if all {
		f.full = now
	}
	return look, nil
}

func (f *Folder) lookAt(ctx context.Context, now time.Time, dirty map[string]bool, all bool) (*origin.Look, error) {
	root, err := os.OpenRoot(f.o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	defer root.Close() //nolint:errcheck // opened for reading
	f.devs = devices{}
	quick, err := openQuick(f.o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	defer quick.close()
	look := f.last
	if all || dirty["."] {
		if look, err = f.list(ctx, root, quick); err != nil {
			return nil, fmt.Errorf("read store: %w", err)
		}
		f.unlisted(root, look)
	}
	for name, key := range look.Folders {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if all || key == "" || dirty[name] {
			look.Folders[name] = f.glance(root, quick, name, now)
		}
	}
	f.vanished(look, now)
	look.Again = f.again(now, true)
	return look, nil
}

// settle is how long a folder must keep still. Leases tell of writers only where all
// its files are on local file systems.
func (f *Folder) settle(local bool) time.Duration {
	switch {
	case f.o.Settle > 0:
		return f.o.Settle
	case local:
		return settleLocal
	default:
		return settleRemote
	}
}

// list names the tenants' folders. What lies above them is read only if it may have
// changed.
func (f *Folder) list(ctx context.Context, root *os.Root, quick quick) (*origin.Look, error) {
	if f.named == nil || !quick.same(&f.root) {
		f.root, f.named = scan{local: true, quick: true}, nil
		look := &origin.Look{Folders: map[string]string{}, Odd: map[string]string{}}
		if err := f.names(ctx, root, ".", f.o.Depth, look); err != nil {
			return nil, err
		}
		f.named = look
	}
	look := *f.named
	look.Folders, look.Odd = maps.Clone(look.Folders), maps.Clone(look.Odd)
	return &look, nil
}

// names fills look.Folders with the names that lie depth levels below dir.
func (f *Folder) names(ctx context.Context, root *os.Root, dir string, depth int, look *origin.Look) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.watch.add(dir)
	begun := time.Now().UnixNano()
	info, err := root.Lstat(dir)
	if err != nil {
		return err
	}
	f.root.note(entry{path: dir, full: dir, stat: f.devs.stat(root, dir, info)}, begun)
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

// unlisted adds the wanted folders that are there and were not listed.
func (f *Folder) unlisted(root *os.Root, look *origin.Look) {
	if f.o.Wanted == nil {
		return
	}
	for _, name := range f.o.Wanted() {
		if _, ok := look.Folders[name]; ok || strings.Count(name, "/") != f.o.Depth-1 {
			continue
		}
		if info, err := root.Lstat(name); err == nil && info.IsDir() {
			look.Folders[name] = ""
		}
	}
}

// glance scans one folder and returns its key if it has kept still for long
// enough, else an empty one.
func (f *Folder) glance(root *os.Root, quick quick, name string, now time.Time) string {
	s, ok := f.seen[name]
	if !ok {
		s = &seen{settle: f.settle(false)}
		f.seen[name] = s
	}
	if s.stamp == "" || !quick.same(&s.scan) {
		f.rescan(root, name, s, now)
	}
	if mark := f.reread.mark(name); mark != s.mark { // to be taken once more
		s.mark, s.since, s.hold, s.tries = mark, now, time.Time{}, 0
	}
	found := ""
	if now.Sub(s.since) >= s.settle && !now.Before(s.hold) {
		found = key(s.stamp, s.mark)
	}
	f.reread.note(name, found, s, now)
	return found
}

// key is what a look returns for a folder: its stamp, or one that is also of its
// content where the stamp does not tell of a change.
func key(stamp, mark string) string {
	if stamp == "" || mark == "" {
		return stamp
	}
	sum := sha256.Sum256([]byte(stamp + mark))
	return hex.EncodeToString(sum[:])
}

func (f *Folder) rescan(root *os.Root, name string, s *seen, now time.Time) {
	scan, stamp, err := f.scan(root, name, f.devs)
	switch {
	case errors.Is(err, fs.ErrNotExist): // vanished while it was read
		stamp = ""
	case err != nil && !errors.Is(err, origin.ErrRefused):
		err = origin.Refuse("the folder cannot be read: %v", err)
	}
	if stamp != s.stamp || stamp == "" {
		s.stamp, s.since, s.hold, s.tries = stamp, now, time.Time{}, 0
	}
	s.scan, s.err = scan, err
	if stamp != "" {
		s.settle = f.settle(scan.local)
	}
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
		if now.Sub(s.since) < patience*s.settle {
			look.Folders[name] = ""
		} else {
			delete(f.seen, name)
			f.reread.forget(name)
		}
	}
}

// again is how soon the next folder may have settled; zero: none is awaited.
// gone includes folders that vanished.
func (f *Folder) again(now time.Time, gone bool) time.Duration {
	var next time.Duration
	for _, s := range f.seen {
		still := s.settle
		if s.stamp == "" {
			if !gone {
				continue
			}
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
