package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Record is one release of one tenant, as the mirror remembers it. It is
// immutable once committed.
type Record struct {
	ID       tenant.ID       `json:"id"`
	Revision tenant.Revision `json:"revision"`
	Time     time.Time       `json:"time"`
	// Key is the origin's name for the state of the folder: while it is the same, there is nothing to read.
	Key string `json:"key"`
	// Pinned: an earlier release that was made live again.
	Pinned bool            `json:"pinned,omitempty"`
	Files  map[string]File `json:"files"`

	seq uint64
}

// File is one file of a Record.
type File struct {
	tenant.File
	// Key is the origin's name for the state of the file.
	Key string `json:"key"`
}

// Snapshot is the release with its manifest.
func (r *Record) Snapshot(m tenant.Manifest) *tenant.Snapshot {
	files := make(map[string]tenant.File, len(r.Files))
	for name, f := range r.Files {
		files[name] = f.File
	}
	return &tenant.Snapshot{ID: r.ID, Revision: r.Revision, Time: r.Time, Files: files, Manifest: m}
}

const magic = "terrane release 1 "

var errDamaged = errors.New("record is damaged")

// encode writes the record behind a line that holds its checksum.
func (r *Record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record of %s: %w", r.ID, err)
	}
	sum := sha256.Sum256(body)
	return append([]byte(magic+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

func decode(data []byte) (*Record, error) {
	head, body, ok := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256(body)
	if !ok || string(head) != magic+hex.EncodeToString(sum[:]) {
		return nil, errDamaged
	}
	r := new(Record)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return r, nil
}
