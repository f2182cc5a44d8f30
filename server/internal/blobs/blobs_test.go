package blobs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/terrane/terrane/server/internal/blobs"
	"github.com/terrane/terrane/tenant"
)

// stored is a mirror that has the same bytes under each hash.
type stored string

func (s stored) Open(tenant.Hash) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader([]byte(s)), io.NopCloser(nil)}, nil
}

// TestDamage reads files whose content in the mirror is no longer what was stored.
func TestDamage(t *testing.T) {
	t.Parallel()
	const whole = "what was stored"
	f := tenant.File{Hash: sha256.Sum256([]byte(whole)), Size: int64(len(whole))}
	for name, row := range map[string]struct {
		now     stored
		damaged bool
	}{
		"whole":   {whole, false},
		"changed": {"What was stored", true},
		"cut":     {"what was", true},
		"empty":   {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := blobs.Read(row.now, f)
			if errors.Is(err, tenant.ErrDamaged) != row.damaged || !row.damaged && string(data) != whole {
				t.Errorf("%q, %v", data, err)
			}
			if _, err := blobs.NewCache(row.now, 1<<20).Open(f); errors.Is(err, tenant.ErrDamaged) != row.damaged {
				t.Errorf("cache: %v", err)
			}
		})
	}
}
