// Package gitrepo is the origin that is one branch of a git repository with a
// folder per tenant, over https, http, ssh or a local path.
//
// It keeps a full, bare, single-branch mirror, which go-git reads and package gitwire
// fetches; never a work tree, and never a depth, with which go-git loses objects.
// Where the origin itself is a shallow clone, its history ends there. The mirror is a cache:
// whatever is wrong with it, it is dropped and cloned anew, and serving never
// waits for it. Fetches go into a side reference, forced, and the head moves
// only once the commit's tree can be read.
//
// Origins that are local paths are served by the git command, which must be
// installed for them.
package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/terrane/terrane/sync/internal/gitwire"
	"github.com/terrane/terrane/sync/internal/origin"
)

// Options configure a Repo.
type Options struct {
	Dir     string // of the mirror; made, and owned, by the Repo
	URL     string
	Branch  string        // empty: "main"
	Depth   int           // how deep tenants' folders lie; below 1: 1
	Whole   bool          // the repository is one tenant's: its root is the folder "."
	Timeout time.Duration // of a fetch or clone; 0: 5m
	MaxPack int64         // bytes that one fetch may bring; 0: 4 GiB
	Auth    gitwire.Auth
	Signers Signers
	// Within is the prefix of tenants' own repositories that URL must lie below.
	Within string
	Judge  func(netip.Addr) error // gitwire.Options.Judge
	// FastForward refuses commits that do not descend from the one taken last, as
	// Signers do.
	FastForward bool
	// Previews follows the branches "preview/NAME" too.
	Previews bool
	Hosted   bool // an origin without the branch is an empty one, and not a fault
}

const (
	objectCache    = 16 << 20 // bytes of unpacked objects
	largeObject    = 1 << 20  // bytes from which a blob is streamed
	maxTree        = 16 << 20 // bytes of one tree object
	maxPacks       = 64       // fetches after which they are made one
	maxTenants     = 200_000
	maxHistory     = 256 // commits that are searched for the one that changed a folder
	sideRef        = plumbing.ReferenceName("refs/terrane/fetched")
	maxLinkLength  = 4096
	maxLinkHops    = 8
	maxPointerSize = 1024
	maxHaves       = 4096 // commits that a fetch says are there
	maxHavesEach   = 100  // of one reference
)

// Repo implements origin.Origin. Only Open makes one.
type Repo struct {
	o        Options
	git      *git.Repository // nil: not opened, or dropped
	disk     *filesystem.Storage
	look     *origin.Look // of head and previews
	head     *object.Commit
	main     *origin.Look        // of head alone
	revs     map[string]revision // of main's folders
	previews map[string]*preview // by name
	remote   *gitwire.Remote
	shallow  []plumbing.Hash // commits whose parents the origin lacks, sorted
	cut      []plumbing.Hash // shallow, as deepened saw it last
}

// Open returns the Repo; the first Look opens its mirror.
func Open(o Options) *Repo {
	o.Depth, o.Branch = max(o.Depth, 1), cmp.Or(o.Branch, "main")
	o.Timeout, o.MaxPack = cmp.Or(o.Timeout, 5*time.Minute), cmp.Or(o.MaxPack, 4<<30)
	return &Repo{o: o}
}

// Hints implements origin.Origin: a git server sends none.
func (r *Repo) Hints() <-chan struct{} { return nil }

// Close implements origin.Origin.
func (r *Repo) Close() error {
	if r.remote != nil {
		r.remote.Rest()
	}
	return nil
}

// Look implements origin.Origin.
func (r *Repo) Look(ctx context.Context) (look *origin.Look, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	defer r.guard(&err)
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if r.o.Whole { // one of many
		defer r.remote.Rest()
	}
	want, previews, err := r.ask(ctx)
	if r.o.Hosted && (errors.Is(err, errNoBranch) || errors.Is(err, transport.ErrEmptyRemoteRepository) || errors.Is(err, transport.ErrRepositoryNotFound)) {
		return &origin.Look{Blind: []string{"."}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask origin: %w", err)
	}
	if err := r.deepened(); err != nil {
		return nil, err
	}
	err = r.move(ctx, want, previews)
	if errors.Is(err, errBroken) && ctx.Err() == nil { // once more, from nothing
		err = r.move(ctx, want, previews)
	}
	return r.look, err
}

func (r *Repo) prepare() (err error) {
	if r.remote == nil {
		if r.remote, err = gitwire.New(gitwire.Options{URL: r.o.URL, Within: r.o.Within, Judge: r.o.Judge, Auth: r.o.Auth, MaxPack: r.o.MaxPack}); err != nil {
			return err
		}
	}
	return r.remote.Prepare()
}

// move brings look to what was listed.
func (r *Repo) move(ctx context.Context, want plumbing.Hash, previews map[string]plumbing.Hash) error {
	var refused error
	moved := r.head == nil || r.head.Hash != want
	if moved {
		err := r.advance(ctx, want)
		if errors.Is(err, origin.ErrRefused) && (r.look != nil || r.git != nil && r.lastGood(ctx) == nil) {
			refused, err = err, nil
		}
		if err != nil {
			return err
		}
	}
	changed := r.follow(ctx, previews) || moved
	if changed {
		if err := r.compact(ctx); err != nil {
			return errors.Join(fmt.Errorf("%w: %w", errBroken, err), r.drop())
		}
	} else if r.o.Whole { // one of many: it holds no memory between deploys
		r.git, r.disk = nil, nil
	}
	if changed || r.look.Refused != "" {
		r.look = r.withPreviews(want, refused)
	}
	return nil
}

// guard turns a panic of go-git over hostile data into an error.
func (r *Repo) guard(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(fmt.Errorf("go-git panicked: %v", p), r.drop())
	}
}

// errBroken marks a mirror that was dropped.
var errBroken = errors.New("mirror of the repository was dropped")

var errNoBranch = errors.New("the repository has no branch")

// ask returns the commits that the branch and the branches of previews are at.
func (r *Repo) ask(ctx context.Context) (main plumbing.Hash, previews map[string]plumbing.Hash, err error) {
	name := plumbing.NewBranchReferenceName(r.o.Branch).String()
	refs, err := r.remote.List(ctx, func(ref string) bool {
		return ref == name || r.o.Previews && strings.HasPrefix(ref, previewBranch)
	})
	if err != nil {
		return main, nil, err
	}
	r.shallow = refs.Shallow
	plumbing.HashesSort(r.shallow)
	previews = map[string]plumbing.Hash{}
	for ref, hash := range refs.At {
		if preview, ok := strings.CutPrefix(ref, previewBranch); ok && ref != name {
			previews[preview] = hash
		}
	}
	main = refs.At[name]
	if main.IsZero() {
		err = fmt.Errorf("%w %q", errNoBranch, r.o.Branch)
	}
	return main, previews, err
}

// advance fetches and moves to what was fetched. A mirror in which anything is
// wrong is dropped.
func (r *Repo) advance(ctx context.Context, want plumbing.Hash) error {
	err := r.open()
	if err == nil {
		err = r.fetch(ctx, plumbing.NewBranchReferenceName(r.o.Branch), sideRef)
	}
	if err != nil && transient(ctx, err) {
		return fmt.Errorf("fetch: %w", err) // the line was cut; what is there is whole
	}
	if err == nil {
		err = r.disk.SetShallow(r.shallow) // for the git command
	}
	if err == nil {
		err = r.take(want)
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		err = fmt.Errorf("the origin lacks objects that its branch leads to: run git fsck there: %w", err)
	}
	if errors.Is(err, origin.ErrRefused) || errors.Is(err, errSigners) { // the mirror is whole
		return err
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", errBroken, err), r.drop())
	}
	return nil
}

// open opens the mirror, or makes an empty one.
func (r *Repo) open() error {
	if r.git != nil {
		return nil
	}
	if err := tidy(r.o.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(r.o.Dir, 0o700); err != nil {
		return err
	}
	store := filesystem.NewStorageWithOptions(osfs.New(r.o.Dir, osfs.WithBoundOS()),
		cache.NewObjectLRU(objectCache), filesystem.Options{LargeObjectThreshold: largeObject})
	repo, err := git.Open(store, nil)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.Init(store, nil)
	}
	r.git, r.disk = repo, store
	return err
}

func (r *Repo) drop() error {
	r.git, r.disk, r.head, r.look, r.main, r.previews = nil, nil, nil, nil, nil, nil
	return os.RemoveAll(r.o.Dir)
}

func (r *Repo) fetch(ctx context.Context, from, to plumbing.ReferenceName) error {
	exists := func(h plumbing.Hash) bool { return r.disk.HasEncodedObject(h) == nil }
	hash, err := r.remote.Fetch(ctx, from.String(), r.haves(), exists, func(pack io.Reader) error {
		return packfile.UpdateObjectStorage(indexer{r.disk, ctx, r.o}, pack)
	})
	if err != nil {
		return err
	}
	return r.git.Storer.SetReference(plumbing.NewHashReference(to, hash))
}

// haves are the newest commits of what was fetched before.
func (r *Repo) haves() []plumbing.Hash {
	seen := map[plumbing.Hash]bool{}
	refs, err := r.git.References()
	if err != nil {
		return nil
	}
	_ = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference || len(seen) >= maxHaves {
			return nil
		}
		c, err := r.git.CommitObject(ref.Hash())
		if err != nil {
			return nil //nolint:nilerr // what is not there is fetched
		}
		n := 0
		_ = object.NewCommitPreorderIter(c, seen, nil).ForEach(func(c *object.Commit) error {
			seen[c.Hash] = true
			if n++; n == maxHavesEach {
				return storer.ErrStop
			}
			return nil
		}) // it ends where the history does
		return nil
	})
	return slices.Collect(maps.Keys(seen))
}

// take reads the tree of what was fetched; the branch may have moved on since
// it was asked for want.
func (r *Repo) take(want plumbing.Hash) error {
	ref, err := r.git.Reference(sideRef, false)
	if err != nil {
		return fmt.Errorf("fetch of %s left no reference: %w", want, err)
	}
	head, err := r.accept(ref.Hash())
	if err != nil {
		return err
	}
	return r.use(head)
}

// use makes an accepted commit the one that is followed.
func (r *Repo) use(head *object.Commit) error {
	tree, err := r.tree(head.TreeHash)
	if err != nil {
		return err
	}
	look := &origin.Look{Head: head.Hash.String(), Folders: map[string]string{}, Odd: map[string]string{}}
	if err := r.folders(tree, look); err != nil {
		return err
	}
	revs, err := r.revisions(head, look.Folders)
	if err != nil {
		return err
	}
	if err := r.remember(head.Hash); err != nil {
		return err
	}
	r.head, r.main, r.look, r.revs = head, look, look, revs
	return nil
}

// revision is the commit that gave a folder its content.
type revision struct {
	hash plumbing.Hash
	time time.Time
}

// revisions finds the commit that last changed each folder, along the branch's
// first parents; beyond maxHistory commits, one that has the same content.
func (r *Repo) revisions(head *object.Commit, folders map[string]string) (map[string]revision, error) {
	found := make(map[string]revision, len(folders))
	sought := map[string]string{}
	for name, key := range folders {
		if r.main != nil && r.main.Folders[name] == key {
			found[name] = r.revs[name]
		} else {
			sought[name] = key
		}
	}
	for n, c := 0, head; len(sought) > 0; n++ {
		before := &origin.Look{Folders: map[string]string{}, Odd: map[string]string{}}
		var parent *object.Commit
		if parents := r.parents(c); len(parents) > 0 && n < maxHistory {
			var err error
			if parent, err = r.git.CommitObject(parents[0]); err != nil {
				return nil, err
			}
			tree, err := r.tree(parent.TreeHash)
			if err != nil {
				return nil, err
			}
			if err := r.folders(tree, before); err != nil {
				return nil, err
			}
		}
		for name, key := range sought {
			if parent == nil || before.Folders[name] != key {
				found[name] = revision{c.Hash, c.Committer.When}
				delete(sought, name)
			}
		}
		c = parent
	}
	return found, nil
}

// folders fills look with the tenants' folders of a root.
func (r *Repo) folders(tree *object.Tree, look *origin.Look) error {
	if !r.o.Whole {
		return r.names(tree, ".", r.o.Depth, look)
	}
	look.Folders["."] = tree.Hash.String()
	if len(tree.Entries) == 0 {
		look.Folders["."], look.Blind = "", []string{"."}
	}
	return nil
}

// names fills look with the folders that lie depth levels below dir.
func (r *Repo) names(tree *object.Tree, dir string, depth int, look *origin.Look) error {
	if len(tree.Entries)+len(look.Folders) > maxTenants {
		return origin.Refuse("the repository holds more than %d folders: spread the tenants over several", maxTenants)
	}
	empty := true
	for _, e := range tree.Entries {
		name := path.Join(dir, e.Name)
		switch {
		case e.Name == "" || e.Name[0] == '.':
		case e.Mode == filemode.Symlink:
			look.Odd[name] = "is a symlink: a tenant's folder must be a folder itself"
		case e.Mode == filemode.Submodule:
			look.Odd[name] = "is a submodule: commit the folder itself"
		case e.Mode != filemode.Dir:
		case depth > 1:
			empty = false
			sub, err := r.tree(e.Hash)
			if err != nil {
				return err
			}
			if err := r.names(sub, name, depth-1, look); err != nil {
				return err
			}
		default:
			empty = false
			look.Folders[name] = e.Hash.String()
		}
	}
	if empty && dir == "." { // git keeps no empty folders: one below the root is a deletion
		look.Blind = append(look.Blind, dir)
	}
	return nil
}

// tidy removes what a killed process left in the mirror: go-git writes references
// and packs in place.
func tidy(dir string) error {
	for _, glob := range []string{"refs/*/*", "objects/pack/tmp_*", "objects/pack/*.pack", "objects/pack/*.idx", "*.lock", "refs/*/*.lock"} {
		paths, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return err
		}
		for _, p := range paths {
			if err := tidyFile(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func tidyFile(p string) error {
	info, err := os.Stat(p)
	if err != nil || info.IsDir() {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	base := filepath.Base(p)
	ref := filepath.Base(filepath.Dir(filepath.Dir(p))) == "refs"
	switch {
	case info.Size() == 0, ref && info.Size() < 40, len(base) > 4 && base[:4] == "tmp_", filepath.Ext(base) == ".lock":
		return os.Remove(p)
	}
	return nil
}
