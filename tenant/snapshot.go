package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Hash is the SHA-256 of a file's content, and its name in the mirror.
type Hash [sha256.Size]byte

// ErrDamaged is wrapped by the error of a read whose content does not match its Hash.
var ErrDamaged = errors.New("the content does not match its hash")

// String is the hash in lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler by String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, the reverse of MarshalText.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("hash of %d characters, want %d", len(text), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Revision names one state of a tenant's folder: a git commit, or a digest of
// the folder's content. Equal revisions have equal content.
type Revision string

// Short is the revision cut to 12 characters, for people.
func (r Revision) Short() string { return string(r[:min(len(r), 12)]) }

// File is one regular file of a Snapshot.
type File struct {
	Hash Hash  `json:"hash"`
	Size int64 `json:"size"` // bytes
}

// Snapshot is one revision of one tenant's whole folder. It is immutable; the
// content of its files stands in the mirror under their hashes.
type Snapshot struct {
	ID       ID
	Revision Revision
	Time     time.Time       // of the commit, or when the folder was found settled
	Files    map[string]File // by slash-separated path relative to the folder
	Manifest Manifest
}

// Size is the sum of the sizes of all files, in bytes.
func (s *Snapshot) Size() int64 {
	var n int64
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}
