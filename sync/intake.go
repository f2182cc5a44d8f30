package sync

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrane/terrane/sync/internal/contents"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
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
	if err := contents.Check(listing.Files, st.s.o.MaxFiles, &st.s.o.Limits); err != nil {
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
		c.manifest, err = contents.Manifest(c.rec, data)
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
