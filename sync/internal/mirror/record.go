package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	Pinned bool `json:"pinned,omitempty"`
	// Pin is the operator's choice of this release; nil: it is what the folder had.
	Pin   *tenant.Pin     `json:"pin,omitempty"`
	Files map[string]File `json:"files"`
	// Also are earlier revisions that had the same content, the newest first.
	Also []tenant.Revision `json:"also,omitempty"`

	seq     uint64
	content tenant.Hash // zero until Content is asked, before the record is shared
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

// Listing is the record's names and hashes in the form that Content is the SHA-256 of:
// for each file in the order of names, its name, a zero byte, and its hash.
func (r *Record) Listing() []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		h := r.Files[name].Hash
		out = append(append(append(out, name...), 0), h[:]...)
	}
	return out
}

// ParseListing is the reverse of Listing. Sizes are not known.
func ParseListing(data []byte, limit int) (map[string]tenant.Hash, error) {
	files := map[string]tenant.Hash{}
	for len(data) > 0 {
		name, rest, ok := bytes.Cut(data, []byte{0})
		if !ok || len(rest) < len(tenant.Hash{}) || len(files) == limit {
			return nil, fmt.Errorf("a listing that is cut off, or has more than %d files", limit)
		}
		files[string(name)] = tenant.Hash(rest[:len(tenant.Hash{})])
		data = rest[len(tenant.Hash{}):]
	}
	return files, nil
}

// Content identifies what the files hold: equal content, equal digest. A record that
// was committed has it at hand.
func (r *Record) Content() tenant.Hash {
	if r.content == (tenant.Hash{}) {
		return tenant.Hash(sha256.Sum256(r.Listing()))
	}
	return r.content
}

// Has reports whether the record's content was ever known by the revision.
func (r *Record) Has(rev tenant.Revision) bool {
	return r.Revision == rev || slices.Contains(r.Also, rev)
}

// maxAlso bounds Also.
const maxAlso = 16

// replace takes over the names of an older record of the same content.
func (r *Record) replace(old *Record) {
	for _, rev := range append([]tenant.Revision{old.Revision}, old.Also...) {
		if !r.Has(rev) && len(r.Also) < maxAlso {
			r.Also = append(slices.Clip(r.Also), rev)
		}
	}
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
	r.content = r.Content()
	return r, nil
}

// ContentOf is the Content of a record that has files with these hashes, by their names.
func ContentOf(hashes map[string]tenant.Hash) tenant.Hash {
	r := Record{Files: make(map[string]File, len(hashes))}
	for name, hash := range hashes {
		r.Files[name] = File{File: tenant.File{Hash: hash}}
	}
	return r.Content()
}
