package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/terrane/terrane/sync/internal/mergebase"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	previewBranch = "refs/heads/preview/"
	previewRef    = "refs/previews/"

	maxPreviews       = 100 // branches
	maxPreviewFolders = 20  // that one branch may change
	maxTenantPreviews = 10
	previewTimeout    = time.Minute      // of one fetch: the next push to the branch itself waits for it
	previewRetry      = 30 * time.Second // after a fetch that failed
)

// preview is a branch "preview/NAME": the folders that it changes are shown apart from
// those of the branch itself. Nothing that is wrong with one stops the store.
type preview struct {
	revision
	head    plumbing.Hash     // that the branch was listed at
	main    plumbing.Hash     // that it was compared with
	folders map[string]string // what it changes
	err     error             // why it is not taken; nil: it is
	retry   time.Time         // zero: not before either branch moves
}

// follow brings look's previews to the heads that were listed, and reports whether
// anything had to be done.
func (r *Repo) follow(ctx context.Context, heads map[string]plumbing.Hash) (changed bool) {
	next := make(map[string]*preview, len(heads))
	for i, name := range slices.Sorted(maps.Keys(heads)) {
		old := r.previews[name]
		if old != nil && old.head == heads[name] && old.main == r.head.Hash && (old.retry.IsZero() || time.Now().Before(old.retry)) {
			next[name] = old
			continue
		}
		changed = true
		p := &preview{head: heads[name], main: r.head.Hash}
		err := checkPreview(name, i)
		if err == nil {
			err = r.readPreview(ctx, name, p)
			if err != nil && !errors.Is(err, origin.ErrRefused) {
				p.retry = time.Now().Add(previewRetry)
				if old != nil { // what is live stays
					p.folders, p.revision = old.folders, old.revision
				}
			}
		}
		p.err = err
		next[name] = p
	}
	for name := range r.previews {
		if next[name] == nil {
			changed = true
			if r.open() == nil {
				_ = r.git.Storer.RemoveReference(plumbing.ReferenceName(previewRef + name)) // it only keeps objects
			}
		}
	}
	r.previews = next
	return changed
}

// checkPreview refuses the name of a branch, or the branch of that index as one too many.
func checkPreview(name string, i int) error {
	if err := tenant.CheckPreview(name); err != nil {
		return origin.Refuse("%v", err)
	}
	if i >= maxPreviews {
		return origin.Refuse("the store has more than %d previews: delete the branches of some", maxPreviews)
	}
	return nil
}

// withPreviews is the look of the branch and of all previews. refused is why the branch is
// not followed to the commit want, nil if it is.
func (r *Repo) withPreviews(want plumbing.Hash, refused error) *origin.Look {
	look := *r.main
	look.NotTaken = map[string]string{}
	note := func(listed plumbing.Hash, err error) {
		commit := listed.String()
		if c, ok := errors.AsType[*origin.CommitError](err); ok { // the branch has moved on
			commit = c.Commit
		}
		look.NotTaken[commit] = err.Error()
	}
	if refused != nil {
		look.Refused = refused.Error()
		note(want, refused)
	}
	look.Folders, look.Odd = maps.Clone(r.main.Folders), maps.Clone(r.main.Odd)
	taken := map[string]int{} // previews by tenant's folder
	for _, name := range slices.Sorted(maps.Keys(r.previews)) {
		p := r.previews[name]
		if p.err != nil {
			look.Odd["preview/"+name] = p.err.Error()
			if p.retry.IsZero() {
				note(p.head, p.err)
			}
		}
		for folder, key := range p.folders {
			at := origin.Preview(folder, name)
			if taken[folder]++; taken[folder] > maxTenantPreviews {
				look.Odd[at] = fmt.Sprintf("a tenant has at most %d previews: delete the branches of some", maxTenantPreviews)
				continue
			}
			look.Folders[at] = key
		}
	}
	return &look
}

// readPreview fetches a branch and finds what it changes.
func (r *Repo) readPreview(ctx context.Context, name string, p *preview) (err error) {
	defer func() {
		if what := recover(); what != nil { // go-git over hostile data
			err = origin.Refuse("the branch cannot be read: %v", what)
		}
	}()
	if err := r.open(); err != nil {
		return err
	}
	at := plumbing.ReferenceName(previewRef + name)
	ref, err := r.git.Reference(at, false)
	if err != nil || ref.Hash() != p.head {
		ctx, cancel := context.WithTimeout(ctx, previewTimeout)
		defer cancel()
		if err := r.fetch(ctx, plumbing.ReferenceName(previewBranch+name), at); err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if ref, err = r.git.Reference(at, false); err != nil {
			return err
		}
	}
	head, err := r.signed(ref.Hash())
	if err != nil {
		return err
	}
	base, err := r.common(r.head, head)
	if err != nil {
		return err
	}
	now, before := map[string]string{}, map[string]string{}
	for commit, folders := range map[*object.Commit]map[string]string{head: now, base: before} {
		tree, err := r.tree(commit.TreeHash)
		if err != nil {
			return err
		}
		look := &origin.Look{Folders: folders, Odd: map[string]string{}}
		if err := r.folders(tree, look); err != nil {
			return err
		}
	}
	maps.DeleteFunc(now, func(name, key string) bool {
		return key == "" || key == before[name] || key == r.main.Folders[name]
	})
	if len(now) > maxPreviewFolders {
		return origin.Refuse("the branch changes %d tenants' folders: a preview may change %d", len(now), maxPreviewFolders)
	}
	p.folders, p.revision = now, revision{head.Hash, head.Committer.When}
	return nil
}

// common finds where two branches have parted.
func (r *Repo) common(a, b *object.Commit) (*object.Commit, error) {
	base, err := mergebase.Find(a.Hash.String(), b.Hash.String(), func(id string) (mergebase.Commit, error) {
		c, err := r.git.CommitObject(plumbing.NewHash(id))
		if err != nil {
			return mergebase.Commit{}, err
		}
		known := mergebase.Commit{ID: id, Time: c.Committer.When.Unix()}
		for _, h := range r.parents(c) {
			known.Parents = append(known.Parents, h.String())
		}
		return known, nil
	})
	if errors.Is(err, mergebase.ErrNone) {
		return nil, origin.Refuse("it has no commit in common with %s among the last %d: rebase it%s", r.o.Branch, mergebase.Limit, r.orDeepen())
	}
	if err != nil {
		return nil, err
	}
	return r.git.CommitObject(plumbing.NewHash(base))
}
