package mirror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/terrane/terrane/tenant"
)

// MinRevision is how many characters of a revision are needed to name it.
const MinRevision = 7

// ErrUnknown is wrapped when a tenant, or a revision of it, is not in the mirror.
var ErrUnknown = errors.New("not known here")

// CheckRevision returns why rev is not the beginning of a revision.
func CheckRevision(rev tenant.Revision) error {
	if name := string(rev); strings.HasPrefix(name, "HEAD") || strings.ContainsAny(name, "~^@{:/") {
		return fmt.Errorf("revision %q is a name that only a clone can resolve: want the commit, which git rev-parse %s prints there", name, name)
	}
	if len(rev) < MinRevision {
		return fmt.Errorf("revision %q: want at least %d characters of one that terrane releases lists", rev, MinRevision)
	}
	return nil
}

// Pick returns the first record that was known by a revision that begins with rev, and that
// revision. It fails if rev is the beginning of several.
func Pick(records []*Record, rev tenant.Revision) (found *Record, whole tenant.Revision, err error) {
	if err := CheckRevision(rev); err != nil {
		return nil, "", err
	}
	for _, rec := range records {
		for _, name := range append([]tenant.Revision{rec.Revision}, rec.Also...) {
			if !strings.HasPrefix(string(name), string(rev)) {
				continue
			}
			if found != nil && whole != name {
				return nil, "", fmt.Errorf("revision %q: there are several: write more of it", rev)
			}
			found, whole = rec, name
		}
	}
	if found == nil {
		return nil, "", fmt.Errorf("revision %q: %w", rev, ErrUnknown)
	}
	return found, whole, nil
}
