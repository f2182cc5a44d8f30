package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/tenant"
)

// syncers is how many objects of one release are synced at once: a journal
// takes many syncs in one commit.
const syncers = 16

// Stage collects the objects of one release. It is for one goroutine, and must
// end by Commit or Close.
type Stage struct {
	m    *Mirror
	held map[tenant.Hash]string // "" for an object that is in place, else the file in tmp
}

// Stage begins a release.
func (m *Mirror) Stage() *Stage { return &Stage{m: m, held: map[tenant.Hash]string{}} }

// Reuse reports whether the object is there already, and keeps it for the stage.
func (s *Stage) Reuse(h tenant.Hash) bool {
	if _, ok := s.held[h]; ok {
		return true
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if _, err := os.Lstat(s.m.path(h)); err != nil {
		return false
	}
	s.m.refs[h]++
	s.held[h] = ""
	return true
}

// Have is Reuse for an object whose size is not known.
func (s *Stage) Have(h tenant.Hash) (tenant.File, bool) {
	if !s.Reuse(h) {
		return tenant.File{}, false
	}
	path := s.held[h]
	if path == "" {
		path = s.m.path(h)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return tenant.File{}, false
	}
	return tenant.File{Hash: h, Size: info.Size()}, true
}

// ErrTooLong is wrapped by Put's error when the reader has more than max bytes.
var ErrTooLong = errors.New("longer than it may be")

// Put copies what r has, at most limit bytes, into the stage.
func (s *Stage) Put(r io.Reader, limit int64) (tenant.File, error) {
	f, err := os.CreateTemp(filepath.Join(s.m.dir, tmp), "object-")
	if err != nil {
		return tenant.File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = ErrTooLong
	}
	if err := errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		return tenant.File{}, errors.Join(err, os.Remove(f.Name()))
	}
	got := tenant.File{Hash: tenant.Hash(sum.Sum(nil)), Size: n}
	if s.Reuse(got.Hash) {
		return got, os.Remove(f.Name())
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.refs[got.Hash]++
	s.held[got.Hash] = f.Name()
	return got, nil
}

// Read returns the content of an object of this stage.
func (s *Stage) Read(h tenant.Hash) ([]byte, error) {
	if name := s.held[h]; name != "" {
		return os.ReadFile(name) //nolint:gosec // a path of our own making
	}
	return s.m.Read(h)
}

// Close gives up what Commit did not take.
func (s *Stage) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var err error
	for h, name := range s.held {
		if name != "" {
			err = errors.Join(err, os.Remove(name))
		}
		err = errors.Join(err, s.m.release(h))
	}
	clear(s.held)
	return err
}

// Commit makes rec and the objects it names durable, as a release that is not yet
// promoted. It replaces an earlier one of the tenant that was not promoted either.
func (s *Stage) Commit(rec *Record) error {
	if err := s.place(); err != nil {
		return fmt.Errorf("mirror %s: %w", rec.ID, err)
	}
	for _, f := range rec.Files {
		if _, ok := s.held[f.Hash]; !ok {
			return fmt.Errorf("mirror %s: object %s is not in the stage", rec.ID, f.Hash)
		}
	}
	if err := s.m.number(rec); err != nil {
		return fmt.Errorf("mirror %s: %w", rec.ID, err)
	}
	rec.content = rec.Content()
	if err := s.m.writeRecord(rec); err != nil {
		return fmt.Errorf("mirror %s: %w", rec.ID, err)
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.adopt(rec, true)
	return nil
}

// number gives rec its place behind the tenant's other records, and the names of the
// one whose content it has.
func (m *Mirror) number(rec *Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.history(rec.ID)
	rec.seq = h.next
	for _, old := range h.live {
		if old.Content() == rec.Content() {
			rec.replace(old)
		}
	}
	return m.dropFresh(h)
}

// place gives the objects their names, content first, then names.
func (s *Stage) place() error {
	var g errgroup.Group
	g.SetLimit(syncers)
	dirs := map[string]bool{}
	for h, name := range s.held {
		if name != "" {
			dirs[filepath.Dir(s.m.path(h))] = true
			g.Go(func() error { return syncPath(name) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for dir := range dirs {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	for h, name := range s.held {
		if name == "" {
			continue
		}
		if err := os.Rename(name, s.m.path(h)); err != nil {
			return err
		}
		s.held[h] = ""
	}
	for dir := range dirs {
		g.Go(func() error { return syncPath(dir) })
	}
	return g.Wait()
}

func (m *Mirror) writeRecord(rec *Record) error {
	data, err := rec.encode()
	if err != nil {
		return err
	}
	path := m.recordPath(rec, newSuffix)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	draft := filepath.Join(m.dir, tmp, "record-"+filepath.Base(filepath.Dir(path)))
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	if err := syncPath(draft); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// Promote makes the committed rec the tenant's live release, in the place of an earlier
// one of the same content, and lets the oldest go. Durable when it returns nil.
func (m *Mirror) Promote(rec *Record) error {
	live := m.recordPath(rec, liveSuffix)
	if err := os.Rename(m.recordPath(rec, newSuffix), live); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	err := syncPath(filepath.Dir(live))
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.history(rec.ID)
	h.live, h.fresh = append(h.live, rec), nil
	return errors.Join(err, m.prune(h))
}

// prune drops records whose content a newer one has, and all but the newest keep.
func (m *Mirror) prune(h *history) (err error) {
	var kept []*Record
	seen := map[tenant.Hash]bool{}
	for _, rec := range slices.Backward(h.live) {
		if seen[rec.Content()] || len(kept) == m.keep {
			err = errors.Join(err, m.forget(rec, liveSuffix))
			continue
		}
		seen[rec.Content()] = true
		kept = append(kept, rec)
	}
	slices.Reverse(kept)
	h.live = kept
	return err
}

// Drop forgets rec: a committed release that was refused, or a live one that is
// damaged.
func (m *Mirror) Drop(rec *Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.tenants[rec.ID]
	if !ok {
		return nil
	}
	if h.fresh == rec {
		return m.dropFresh(h)
	}
	for i, r := range h.live {
		if r == rec {
			h.live = append(h.live[:i:i], h.live[i+1:]...)
			return m.forget(rec, liveSuffix)
		}
	}
	return nil
}

// Remove forgets a tenant.
func (m *Mirror) Remove(id tenant.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.tenants[id]
	if !ok {
		return nil
	}
	err := m.dropFresh(h)
	for i := len(h.live) - 1; i >= 0; i-- { // the live one first: no older one may come back
		err = errors.Join(err, m.forget(h.live[i], liveSuffix))
	}
	delete(m.tenants, id)
	dir := filepath.Join(m.dir, releases, dirName(id))
	if rmErr := os.Remove(dir); !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return errors.Join(err, syncPath(filepath.Join(m.dir, releases)))
}

func (m *Mirror) dropFresh(h *history) error {
	if h.fresh == nil {
		return nil
	}
	rec := h.fresh
	h.fresh = nil
	return m.forget(rec, newSuffix)
}

// forget removes a record's file and then lets its objects go.
func (m *Mirror) forget(rec *Record, suffix string) error {
	if err := os.Remove(m.recordPath(rec, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // the record stands, so must its objects
	}
	var err error
	for _, f := range rec.Files {
		err = errors.Join(err, m.release(f.Hash))
	}
	return err
}

// release gives up one name of an object; mu is held.
func (m *Mirror) release(h tenant.Hash) error {
	if m.refs[h]--; m.refs[h] > 0 {
		return nil
	}
	delete(m.refs, h)
	if err := os.Remove(m.path(h)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (m *Mirror) recordPath(rec *Record, suffix string) string {
	return filepath.Join(m.dir, releases, dirName(rec.ID), fmt.Sprintf("%016d%s", rec.seq, suffix))
}

// dirName is a name for the tenant that any file system takes.
func dirName(id tenant.ID) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// makeDir makes a directory that is there after a power cut.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return errors.Join(err, syncPath(filepath.Dir(dir)))
}

func syncPath(path string) error {
	f, err := os.Open(path) //nolint:gosec // a path of our own making
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
