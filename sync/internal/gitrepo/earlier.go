package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	maxBack     = 1000 // commits that one search goes back
	maxBackTime = 2 * time.Second
)

var _ origin.Historian = (*Repo)(nil)

// At implements origin.Historian.
func (r *Repo) At(_ context.Context, name string, rev tenant.Revision) (_ *origin.Listing, err error) {
	defer r.guard(&err)
	if err := r.reopen(); err != nil {
		return nil, err
	}
	c, err := r.signed(plumbing.NewHash(string(rev)))
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", rev, err)
	}
	key, err := r.keyAt(c, name)
	if err != nil || key == "" {
		return nil, errors.Join(origin.ErrNoEarlier, err)
	}
	return r.listAt(c, key)
}

// Before implements origin.Historian. It follows the first parents, and ends where the
// folder was not there.
func (r *Repo) Before(ctx context.Context, name string, rev tenant.Revision) (_ *origin.Listing, err error) {
	defer r.guard(&err)
	ctx, cancel := context.WithTimeout(ctx, maxBackTime)
	defer cancel()
	if err := r.reopen(); err != nil {
		return nil, err
	}
	c, stop, err := r.startOf(name, rev)
	if err != nil {
		return nil, err
	}
	now, err := r.keyAt(c, name)
	if err != nil {
		return nil, err
	}
	var found *object.Commit // the oldest commit seen that has the earlier content
	var key string
	for n := 0; n < maxBack && ctx.Err() == nil && len(r.parents(c)) > 0 && c.Hash != stop; n++ {
		if c, err = r.git.CommitObject(c.ParentHashes[0]); err != nil {
			return nil, err
		}
		at, err := r.keyAt(c, name)
		if err != nil {
			return nil, err
		}
		switch {
		case found == nil && at == now:
			continue
		case found != nil && at != key, at == "", c.Hash == stop:
			return r.signedAt(found, key)
		}
		found, key = c, at
	}
	return r.signedAt(found, key)
}

// signedAt lists what Before has found.
func (r *Repo) signedAt(c *object.Commit, key string) (*origin.Listing, error) {
	if c == nil {
		return nil, origin.ErrNoEarlier
	}
	if _, err := r.signed(c.Hash); err != nil {
		return nil, errors.Join(origin.ErrNoEarlier, err)
	}
	return r.listAt(c, key)
}

// startOf is the commit that a search begins at, and the one where a preview began.
func (r *Repo) startOf(name string, rev tenant.Revision) (c *object.Commit, stop plumbing.Hash, err error) {
	at := r.revs[name].hash
	_, branch, isPreview := origin.CutPreview(name)
	if isPreview && r.previews[branch] != nil {
		at = r.previews[branch].hash
	}
	if rev != "" {
		at = plumbing.NewHash(string(rev))
	}
	if c, err = r.git.CommitObject(at); err != nil || !isPreview {
		return c, stop, err
	}
	base, err := r.common(r.head, c)
	if err != nil {
		return nil, stop, err
	}
	return c, base.Hash, nil
}

// Signed implements origin.Historian.
func (r *Repo) Signed() bool { return r.o.Signers.wanted() }

func (r *Repo) reopen() error {
	if r.head == nil {
		return errBroken
	}
	return r.open()
}

// keyAt is the key that a folder had at a commit; empty: it was not there.
func (r *Repo) keyAt(c *object.Commit, name string) (string, error) {
	if folder, _, ok := origin.CutPreview(name); ok {
		name = folder
	}
	hash := c.TreeHash
	for elem := range strings.SplitSeq(path.Clean(name), "/") {
		if elem == "." {
			continue
		}
		tree, err := r.tree(hash)
		if err != nil {
			return "", err
		}
		hash = plumbing.ZeroHash
		for i := range tree.Entries {
			if e := &tree.Entries[i]; e.Name == elem && e.Mode == filemode.Dir {
				hash = e.Hash
			}
		}
		if hash.IsZero() {
			return "", nil
		}
	}
	return hash.String(), nil
}

func (r *Repo) listAt(c *object.Commit, key string) (*origin.Listing, error) {
	l := lister{r: r, blobs: map[string]plumbing.Hash{}, links: map[string]plumbing.Hash{}}
	err := l.folder(plumbing.NewHash(key))
	return &origin.Listing{
		Revision: tenant.Revision(c.Hash.String()), Time: c.Committer.When, Files: l.files,
		Settled: func() error { return nil },
	}, err
}

// lastGood moves to the newest commit that may be taken, where there is none yet and the
// newest of all is refused: the one that was taken last, else the nearest ancestor.
func (r *Repo) lastGood(ctx context.Context) error {
	ref, err := r.git.Reference(sideRef, false)
	if err != nil {
		return err
	}
	last, err := r.accepted()
	if err != nil {
		return err
	}
	if !last.IsZero() {
		head, err := r.signed(last)
		if err != nil {
			return err
		}
		return r.use(head)
	}
	ctx, cancel := context.WithTimeout(ctx, maxBackTime)
	defer cancel()
	c, err := r.git.CommitObject(ref.Hash())
	for n := 0; err == nil && n < maxBack && len(r.parents(c)) > 0 && ctx.Err() == nil; n++ {
		if c, err = r.git.CommitObject(c.ParentHashes[0]); err != nil {
			break
		}
		if head, err := r.signed(c.Hash); err == nil {
			if err := r.use(head); !errors.Is(err, origin.ErrRefused) {
				return err
			}
		}
	}
	return errors.Join(origin.ErrNoEarlier, err)
}
