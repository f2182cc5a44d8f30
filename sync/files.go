package sync

import (
	"path/filepath"

	"github.com/terrane/terrane/sync/internal/mirror"
)

// Files are the files of published releases, by the hash of their content.
type Files = mirror.Files

// NewFiles returns the Files of a Syncer with this Options.Data. It opens nothing.
func NewFiles(data string) Files { return mirror.NewFiles(mirrorDir(data)) }

func mirrorDir(data string) string { return filepath.Join(data, "mirror") }
