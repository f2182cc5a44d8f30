package sync

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	maxPath = 512 // bytes of a file's path in its folder
	maxName = 255 // bytes of one element of it
)

// candidate is a state of a folder that is in the mirror's hands and passed every
// check but the Publisher's.
type candidate struct {
	rec      *mirror.Record
	manifest tenant.Manifest
	stage    *mirror.Stage // of the objects; nil when rec is committed
	// older: it is not what the folder has, which is dealt with already.
	older bool
}

// take copies the folder into the mirror and checks it. prev, which may be nil,
// is a release whose files need not be read again.
func (st *store) take(ctx context.Context, name, key string, prev *mirror.Record) (*candidate, error) {
	listing, err := st.origin.List(ctx, name)
	if err != nil {
		return nil, err
	}
	return st.takeListing(ctx, name, key, prev, listing)
}

// takeListing is take of what was listed.
func (st *store) takeListing(ctx context.Context, name, key string, prev *mirror.Record, listing *origin.Listing) (_ *candidate, err error) {
	if err := st.checkFiles(listing.Files); err != nil {
		return nil, err
	}
	c := &candidate{
		rec: &mirror.Record{
			ID: st.id(name), Revision: listing.Revision, Time: listing.Time, Key: key, Files: map[string]mirror.File{},
		},
		stage: st.mirror.Stage(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stage.Close())
		}
	}()
	for _, e := range listing.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c.rec.Files[e.Path], err = c.copyFile(e, prev); err != nil {
			return nil, err
		}
	}
	if err := listing.Settled(); err != nil {
		return nil, err
	}
	if c.rec.Revision == "" {
		c.rec.Revision = tenant.Revision(c.rec.Content().String())
	}
	if err := c.readManifest(); err != nil {
		return nil, err
	}
	return c, nil
}

// readManifest decodes the manifest of a candidate that is staged.
func (c *candidate) readManifest() error {
	f, ok := c.rec.Files[tenant.ManifestName]
	if !ok {
		return nil
	}
	data, err := c.stage.Read(f.Hash)
	if err == nil {
		c.manifest, err = manifestOf(c.rec, data)
	}
	return err
}

// copyFile brings one file into the mirror, which may have it already.
func (c *candidate) copyFile(e origin.Entry, prev *mirror.Record) (mirror.File, error) {
	if prev != nil && e.Key != "" {
		if f, ok := prev.Files[e.Path]; ok && f.Key == e.Key && c.stage.Reuse(f.Hash) {
			return f, nil
		}
	}
	r, err := e.Open()
	if err != nil {
		return mirror.File{}, err
	}
	f, err := c.stage.Put(r, e.Size)
	if err := errors.Join(err, r.Close()); err != nil {
		if errors.Is(err, mirror.ErrTooLong) {
			err = fmt.Errorf("%q is %w: it has grown", e.Path, origin.ErrUnsettled)
		}
		return mirror.File{}, err
	}
	if f.Size < e.Size {
		return mirror.File{}, fmt.Errorf("%q is %w: it has shrunk", e.Path, origin.ErrUnsettled)
	}
	return mirror.File{File: f, Key: e.Key}, nil
}

// checkFiles applies every bound that needs no content.
func (st *store) checkFiles(files []origin.Entry) error {
	o := &st.s.o
	if len(files) > o.MaxFiles {
		return origin.Refuse("%d files: at most %d are taken", len(files), o.MaxFiles)
	}
	var total int64
	var largest origin.Entry
	folded := make(map[string]string, len(files))
	for _, f := range files {
		if err := checkName(f.Path); err != nil {
			return err
		}
		lower := strings.ToLower(f.Path)
		if other, ok := folded[lower]; ok {
			return origin.Refuse("%q and %q differ in case only: rename one", other, f.Path)
		}
		folded[lower] = f.Path
		if limit := o.Limits.ModuleSize; limit > 0 && f.Size > limit && strings.HasSuffix(f.Path, ".wasm") {
			return origin.Refuse("%q has %d bytes: a module has at most %d", f.Path, f.Size, limit)
		}
		if f.Path == tenant.ManifestName && f.Size > maxManifest {
			return origin.Refuse("%q has %d bytes: at most %d are taken", f.Path, f.Size, maxManifest)
		}
		total += f.Size
		if f.Size >= largest.Size {
			largest = f
		}
	}
	if o.Limits.SiteSize > 0 && total > o.Limits.SiteSize {
		return origin.Refuse("the files have more than %d bytes, %q alone has %d: remove some", o.Limits.SiteSize, largest.Path, largest.Size)
	}
	return nil
}

// checkName refuses names that could mean something else to somebody.
func checkName(name string) error {
	switch {
	case len(name) > maxPath:
		return origin.Refuse("%.80q...: a path has at most %d bytes", name, maxPath)
	case !utf8.ValidString(name):
		return origin.Refuse("%q: the name is not UTF-8: rename it", name)
	case name == "" || path.Clean(name) != name || name[0] == '/' || strings.HasPrefix(name, "../"):
		return origin.Refuse("%q is no name for a file", name)
	}
	for _, r := range name {
		if r == '\\' || !unicode.IsPrint(r) {
			return origin.Refuse("%q: the name has the character %q: rename it", name, r)
		}
	}
	for elem := range strings.SplitSeq(name, "/") {
		if len(elem) > maxName {
			return origin.Refuse("%.80q...: a name has at most %d bytes", elem, maxName)
		}
	}
	return nil
}
