package sync

import (
	"io"
	"os"
	"path/filepath"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

// Files are the files of published releases, by the hash of their content. They are read
// from the mirror on the disk, which a Syncer fills; no Syncer is needed to read them.
type Files struct{ dir string }

// NewFiles returns the Files of a Syncer with this Options.Data. It opens nothing.
func NewFiles(data string) Files { return Files{mirrorDir(data)} }

func mirrorDir(data string) string { return filepath.Join(data, "mirror") }

// Open opens a file for reading; the caller closes it. It can be read to its end even if the
// release is removed meanwhile. The error of an unknown hash wraps fs.ErrNotExist.
func (f Files) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	file, err := os.Open(mirror.Path(f.dir, h))
	if err != nil {
		return nil, err // no interface around a nil file
	}
	return file, nil
}
