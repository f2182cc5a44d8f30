package mirror

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/terrane/terrane/internal/dirlock"
	"github.com/terrane/terrane/tenant"
)

const (
	objects  = "objects"
	releases = "releases"
	tmp      = "tmp"

	liveSuffix = ".release"
	newSuffix  = ".new"
)

// Mirror is the copy on disk. Only Open makes one.
type Mirror struct {
	dir  string
	keep int
	lock *dirlock.Lock

	damaged []Damage // found by Open

	mu      sync.Mutex
	refs    map[tenant.Hash]int // records and stages that name the object
	tenants map[tenant.ID]*history
}

// history is what the mirror holds of one tenant.
type history struct {
	live  []*Record // oldest first; the last is live
	fresh *Record   // committed, not yet promoted
	next  uint64
}

// Damage is a record that cannot be read any more and was removed.
type Damage struct {
	Path   string
	Tenant tenant.ID // empty where no other record of it is left
	Live   bool      // it was the tenant's newest
	Err    error
}

// Damaged lists the records that Open could not use. Nobody else tells of them.
func (m *Mirror) Damaged() []Damage { return m.damaged }

// ErrInUse is wrapped by Open's error when another process holds the mirror.
var ErrInUse = dirlock.ErrInUse

// Open takes the folder dir for this process, makes it if need be, and removes
// what an earlier process left unfinished. keep is how many releases of a tenant
// stay, at least 1.
func Open(dir string, keep int) (*Mirror, error) {
	for _, d := range []string{objects, releases, tmp} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("make mirror: %w", err)
		}
	}
	lock, err := dirlock.Take(dir)
	if err != nil {
		return nil, err
	}
	m := &Mirror{
		dir: dir, keep: max(keep, 1), lock: lock,
		refs: map[tenant.Hash]int{}, tenants: map[tenant.ID]*history{},
	}
	for _, step := range []func() error{m.cleanTmp, m.readRecords, m.sweep} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("open mirror: %w", err), lock.Release())
		}
	}
	return m, nil
}

// Close gives the folder back. No other method may be called after it, and no Stage be open.
func (m *Mirror) Close() error {
	return m.lock.Release()
}

func (m *Mirror) cleanTmp() error {
	left, err := os.ReadDir(filepath.Join(m.dir, tmp))
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(m.dir, tmp, e.Name())))
	}
	return err
}

// readRecords fills tenants and refs; records that do not check are removed and listed
// in damaged.
func (m *Mirror) readRecords() error {
	paths, err := filepath.Glob(filepath.Join(m.dir, releases, "*", "*"))
	if err != nil {
		return err
	}
	slices.Sort(paths)              // numbers have equal width: oldest first
	owner := map[string]tenant.ID{} // by directory
	for _, path := range paths {
		rec, err := readRecord(path)
		if errors.Is(err, errDamaged) {
			m.damaged = append(m.damaged, Damage{Path: path, Live: strings.HasSuffix(path, liveSuffix), Err: err})
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		owner[filepath.Dir(path)] = rec.ID
		if last := m.history(rec.ID).newest(); rec.Pinned && rec.Pin == nil && last != nil { // of a version before pins
			rec.Pin = &tenant.Pin{Over: last.Content(), At: rec.Time}
		}
		m.adopt(rec, strings.HasSuffix(path, newSuffix))
	}
	for i := range m.damaged {
		d := &m.damaged[i]
		if d.Tenant = owner[filepath.Dir(d.Path)]; d.Tenant != "" {
			newest := m.tenants[d.Tenant].newest()
			d.Live = d.Live && (newest == nil || filepath.Base(d.Path) > filepath.Base(m.recordPath(newest, liveSuffix)))
		}
	}
	for _, h := range m.tenants { // a kill may have left two of one content
		if err := m.prune(h); err != nil {
			return err
		}
	}
	return nil
}

// newest is the record that is live, nil if none is.
func (h *history) newest() *Record {
	if len(h.live) == 0 {
		return nil
	}
	return h.live[len(h.live)-1]
}

func readRecord(path string) (*Record, error) {
	seq, _, ok := strings.Cut(filepath.Base(path), ".")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !ok || err != nil {
		return nil, errDamaged
	}
	data, err := os.ReadFile(path) //nolint:gosec // a path of our own making
	if err != nil {
		return nil, err
	}
	rec, err := decode(data)
	if err != nil {
		return nil, err
	}
	rec.seq = n
	return rec, nil
}

func (m *Mirror) adopt(rec *Record, fresh bool) {
	h := m.history(rec.ID)
	h.next = max(h.next, rec.seq+1)
	if fresh {
		h.fresh = rec
	} else {
		h.live = append(h.live, rec)
	}
	for _, f := range rec.Files {
		m.refs[f.Hash]++
	}
}

func (m *Mirror) history(id tenant.ID) *history {
	h, ok := m.tenants[id]
	if !ok {
		h = &history{}
		m.tenants[id] = h
	}
	return h
}

// sweep removes the objects that no record names.
func (m *Mirror) sweep() error {
	return filepath.WalkDir(filepath.Join(m.dir, objects), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var h tenant.Hash
		if h.UnmarshalText([]byte(d.Name())) == nil && m.refs[h] > 0 {
			return nil
		}
		return os.Remove(path) //nolint:gosec // nobody else writes into the mirror
	})
}

// Tenants lists whom the mirror holds records of, in no order.
func (m *Mirror) Tenants() []tenant.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]tenant.ID, 0, len(m.tenants))
	for id := range m.tenants {
		ids = append(ids, id)
	}
	return ids
}

// History returns the tenant's releases that went live, oldest first, and the one
// that was committed but not promoted when its process ended, nil if none.
func (m *Mirror) History(id tenant.ID) (live []*Record, fresh *Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h, ok := m.tenants[id]; ok {
		return slices.Clone(h.live), h.fresh
	}
	return nil, nil
}

// Path is the file that holds an object of the mirror in dir.
func Path(dir string, h tenant.Hash) string {
	name := h.String()
	return filepath.Join(dir, objects, name[:2], name)
}

// Read returns the whole of an object after it compared the hash. The error of an unknown
// one wraps fs.ErrNotExist.
func (m *Mirror) Read(h tenant.Hash) ([]byte, error) {
	data, err := os.ReadFile(Path(m.dir, h))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != h {
		return nil, fmt.Errorf("%s: %w", h, tenant.ErrDamaged)
	}
	return data, nil
}

// Check reads every object of rec and compares hashes. A damaged one is removed, so that it
// is written again when it is read from the origin. The error of a missing one wraps
// tenant.ErrDamaged, too.
func (m *Mirror) Check(rec *Record) error {
	var errs []error
	for name, f := range rec.Files {
		if err := m.check(f); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (m *Mirror) check(want File) error {
	f, err := os.Open(m.path(want.Hash))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", tenant.ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if tenant.Hash(sum.Sum(nil)) == want.Hash {
		return nil
	}
	return errors.Join(fmt.Errorf("%s: %w", want.Hash, tenant.ErrDamaged), os.Remove(m.path(want.Hash)))
}

func (m *Mirror) path(h tenant.Hash) string { return Path(m.dir, h) }
