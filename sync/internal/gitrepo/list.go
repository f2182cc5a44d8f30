package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// List implements origin.Origin.
func (r *Repo) List(_ context.Context, name string) (_ *origin.Listing, err error) {
	defer r.guard(&err)
	if r.head == nil {
		return nil, errBroken
	}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.drop())
	}
	l := lister{r: r, blobs: map[string]plumbing.Hash{}, links: map[string]plumbing.Hash{}}
	err = l.folder(plumbing.NewHash(r.look.Folders[name]))
	if err != nil && !errors.Is(err, origin.ErrRefused) {
		err = errors.Join(err, r.drop()) // an object is missing: clone anew
	}
	if err != nil {
		return nil, err
	}
	rev := r.revs[name]
	if _, preview, ok := origin.CutPreview(name); ok {
		rev = r.previews[preview].revision
	}
	return &origin.Listing{
		Revision: tenant.Revision(rev.hash.String()),
		Time:     rev.time,
		Files:    l.files,
		Settled:  func() error { return nil },
	}, nil
}

// lister lists one tenant's folder.
type lister struct {
	r       *Repo
	files   []origin.Entry
	names   []string // of blobs and links, in the order of the tree
	blobs   map[string]plumbing.Hash
	links   map[string]plumbing.Hash
	entries int
}

func (l *lister) folder(tree plumbing.Hash) error {
	if err := l.tree(tree, "", 0); err != nil {
		return err
	}
	for _, name := range l.names {
		blob, ok := l.blobs[name]
		if !ok {
			var err error
			if blob, err = l.follow(name, l.links[name]); err != nil {
				return err
			}
		}
		if err := l.add(name, blob); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) tree(h plumbing.Hash, dir string, depth int) error {
	if depth > origin.MaxDepth {
		return origin.Refuse("%s: folders lie deeper than %d: flatten them", dir, origin.MaxDepth)
	}
	tree, err := l.r.tree(h)
	if err != nil {
		return err
	}
	if l.entries += len(tree.Entries); l.entries > origin.MaxEntries {
		return origin.Refuse("more than %d files and folders: remove some", origin.MaxEntries)
	}
	for _, e := range tree.Entries {
		if e.Name == "" || strings.Contains(e.Name, "/") || e.Name == ".." || e.Name == "." {
			return origin.Refuse("%q in %q is no name for a file", e.Name, dir)
		}
		if e.Name[0] == '.' {
			continue
		}
		if err := l.entry(e, path.Join(dir, e.Name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(e object.TreeEntry, name string, depth int) error {
	switch e.Mode {
	case filemode.Dir:
		return l.tree(e.Hash, name, depth+1)
	case filemode.Regular, filemode.Deprecated, filemode.Executable:
		l.blobs[name] = e.Hash
	case filemode.Symlink:
		l.links[name] = e.Hash
	case filemode.Submodule:
		return origin.Refuse("%q is a submodule: commit the files themselves", name)
	default:
		return origin.Refuse("%q has the mode %s, which is no file's: commit it anew", name, e.Mode)
	}
	l.names = append(l.names, name)
	return nil
}

// follow finds the blob that a symlink leads to inside the folder.
func (l *lister) follow(name string, link plumbing.Hash) (plumbing.Hash, error) {
	at := name
	for range maxLinkHops {
		target, err := l.content(link, maxLinkLength)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		at = path.Join(path.Dir(at), string(target))
		if len(target) == 0 || target[0] == '/' || at == ".." || strings.HasPrefix(at, "../") {
			break
		}
		if blob, ok := l.blobs[at]; ok {
			return blob, nil
		}
		next, ok := l.links[at]
		if !ok {
			break
		}
		link = next
	}
	return plumbing.ZeroHash, origin.Refuse("%q is a symlink that leads to no file in the folder: put the file itself there", name)
}

func (l *lister) add(name string, blob plumbing.Hash) error {
	size, err := l.r.git.Storer.EncodedObjectSize(blob)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if size <= maxPointerSize {
		data, err := l.content(blob, maxPointerSize)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")) {
			return origin.Refuse("%q is a Git LFS pointer, and LFS is not fetched: commit the file itself", name)
		}
	}
	l.files = append(l.files, origin.Entry{
		Path: name, Size: size, Key: blob.String(),
		Open: func() (io.ReadCloser, error) { return l.r.blob(blob) },
	})
	return nil
}

func (l *lister) content(h plumbing.Hash, limit int64) ([]byte, error) {
	rd, err := l.r.blob(h)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(rd, limit))
	return data, errors.Join(err, rd.Close())
}

// blob opens a blob. One that cannot be read means a damaged mirror.
func (r *Repo) blob(h plumbing.Hash) (_ io.ReadCloser, err error) {
	defer r.guard(&err)
	if r.git == nil {
		return nil, errBroken
	}
	b, err := r.git.BlobObject(h)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", h, err), r.drop())
	}
	rd, err := b.Reader()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", h, err), r.drop())
	}
	return &blobReader{rd, r}, nil
}

// blobReader drops the mirror when it reads something broken.
type blobReader struct {
	io.ReadCloser
	r *Repo
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (n int, err error) {
	defer b.r.guard(&err)
	n, err = b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = errors.Join(err, b.r.drop())
	}
	return n, err
}
