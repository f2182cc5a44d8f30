package gitrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/terrane/terrane/sync/internal/origin"
)

const (
	maxCommit   = 1 << 20 // bytes
	maxAncestry = 100_000 // commits that are searched for the accepted one
)

// accept decides whether the mirror may move to a commit. A refusal is in words
// for who pushes.
func (r *Repo) accept(h plumbing.Hash) (*object.Commit, error) {
	c, err := r.signed(h)
	if err != nil || !r.onward() {
		return c, err
	}
	last, err := r.accepted()
	if err != nil || last.IsZero() || last == h {
		return c, err
	}
	ok, err := r.descends(c, last)
	if err == nil && !ok {
		err = &origin.CommitError{Commit: h.String(), Err: fmt.Errorf("it does not come after %s, which was: push a commit that does%s", last, r.orDeepen())}
	}
	return c, err
}

// signed reads a commit, which one of the signers must have signed if there are any.
func (r *Repo) signed(h plumbing.Hash) (*object.Commit, error) {
	payload, signature, err := r.commit(h)
	if err != nil {
		return nil, err
	}
	if r.o.Signers.wanted() {
		err := r.o.Signers.verify(payload, signature, time.Now())
		if errors.Is(err, errSigners) {
			return nil, err
		}
		if err != nil {
			return nil, &origin.CommitError{Commit: h.String(), Err: err}
		}
	}
	// What is believed of the commit is what was signed, not what stands beside it.
	return r.decode(h, payload)
}

// onward reports whether the branch may only move forwards. Signed commits must:
// an old one, pushed again, is still signed.
func (r *Repo) onward() bool { return r.o.FastForward || r.o.Signers.wanted() }

// commit reads a commit and parts it from its signature.
func (r *Repo) commit(h plumbing.Hash) (payload, signature []byte, err error) {
	obj, err := r.disk.EncodedObject(plumbing.CommitObject, h)
	if err != nil {
		return nil, nil, err
	}
	if obj.Size() > maxCommit {
		return nil, nil, &origin.CommitError{Commit: h.String(), Err: fmt.Errorf("it has %d bytes: want at most %d", obj.Size(), maxCommit)}
	}
	rd, err := obj.Reader()
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(rd)
	if err := errors.Join(err, rd.Close()); err != nil {
		return nil, nil, err
	}
	payload, signature = split(raw)
	return payload, signature, nil
}

// split cuts the gpgsig header out of a commit.
func split(raw []byte) (payload, signature []byte) {
	inSignature, inHeader := false, true
	for line := range bytes.Lines(raw) {
		switch {
		case inHeader && inSignature && line[0] == ' ':
			signature = append(signature, line[1:]...)
			continue
		case inHeader && bytes.HasPrefix(line, []byte("gpgsig ")) && signature == nil:
			inSignature = true
			signature = append([]byte{}, line[len("gpgsig "):]...)
			continue
		}
		inSignature = false
		inHeader = inHeader && len(line) > 1
		payload = append(payload, line...)
	}
	return payload, signature
}

func (r *Repo) decode(h plumbing.Hash, payload []byte) (*object.Commit, error) {
	obj := &plumbing.MemoryObject{}
	obj.SetType(plumbing.CommitObject)
	if _, err := obj.Write(payload); err != nil {
		return nil, err
	}
	c, err := object.DecodeCommit(r.git.Storer, obj)
	if err != nil {
		return nil, err
	}
	c.Hash = h
	return c, nil
}

// descends searches c's ancestors for last.
func (r *Repo) descends(c *object.Commit, last plumbing.Hash) (bool, error) {
	seen := map[plumbing.Hash]bool{c.Hash: true}
	for queue := []plumbing.Hash{c.Hash}; len(queue) > 0 && len(seen) < maxAncestry; queue = queue[1:] {
		one, err := r.git.CommitObject(queue[0])
		if err != nil {
			return false, err
		}
		for _, p := range r.parents(one) {
			if p == last {
				return true, nil
			}
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return false, nil
}

// parents are the parents of a commit that the origin has.
func (r *Repo) parents(c *object.Commit) []plumbing.Hash {
	if slices.Contains(r.shallow, c.Hash) {
		return nil
	}
	return c.ParentHashes
}

// deepened drops a mirror that ends where the history of the origin no longer does: a
// fetch brings nothing that is before commits that are there.
func (r *Repo) deepened() error {
	if r.head != nil && slices.Equal(r.cut, r.shallow) {
		return nil
	}
	err := r.open()
	if err != nil {
		return err
	}
	ends, err := r.disk.Shallow()
	if err != nil || slices.ContainsFunc(ends, r.lacksParents) {
		err = r.drop()
	} else if !slices.Equal(ends, r.shallow) {
		err = r.disk.SetShallow(r.shallow) // for the git command, and for the next time
	}
	r.cut = r.shallow
	return err
}

// lacksParents reports whether the origin has parents of a commit that the mirror lacks.
func (r *Repo) lacksParents(h plumbing.Hash) bool {
	c, err := r.git.CommitObject(h)
	return err == nil && slices.ContainsFunc(r.parents(c), func(p plumbing.Hash) bool { return r.disk.HasEncodedObject(p) != nil })
}

// orDeepen names the other fix for a history that seems to be cut off.
func (r *Repo) orDeepen() string {
	if len(r.shallow) == 0 {
		return ""
	}
	return "; the origin is a shallow clone, which may lack that commit: run git fetch --unshallow there"
}

// The accepted commit stands outside of the mirror, which may be dropped.

func (r *Repo) acceptedPath() string { return r.o.Dir + ".accepted" }

func (r *Repo) accepted() (plumbing.Hash, error) {
	data, err := os.ReadFile(r.acceptedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return plumbing.ZeroHash, nil
	}
	return plumbing.NewHash(strings.TrimSpace(string(data))), err
}

// remember makes h the accepted commit, durably.
func (r *Repo) remember(h plumbing.Hash) error {
	if last, err := r.accepted(); err != nil || last == h || !r.onward() {
		return err
	}
	draft := r.acceptedPath() + ".new"
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // a path of our own making
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, h)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, r.acceptedPath()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(r.o.Dir))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
