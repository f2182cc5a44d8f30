package mirror

import (
	"io"
	"os"

	"github.com/terrane/terrane/tenant"
)

// Files are the files of published releases, by the hash of their content. They are read
// from the disk; no Mirror is needed to read them.
type Files struct{ dir string }

// NewFiles returns the Files of a mirror's directory. It opens nothing.
func NewFiles(dir string) Files { return Files{dir} }

// Open opens a file for reading; the caller closes it. It can be read to its end even if the
// release is removed meanwhile. The error of an unknown hash wraps fs.ErrNotExist.
func (f Files) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	file, err := os.Open(Path(f.dir, h))
	if err != nil {
		return nil, err // no interface around a nil file
	}
	return file, nil
}
