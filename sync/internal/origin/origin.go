// Package origin is the seam between the syncer and the places that tenants
// deploy to. An origin only finds out what is there and opens it; what may go
// live, and every bound on it, is the syncer's to decide, for all origins alike.
//
// The package holds types only. Origins stand in the packages beside it and pass
// the suite in sync/storetest.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Origin is where the tenants of one store deploy to. Look, List, an Entry's Open
// and a Listing's Settled are called by one goroutine; Hints may be read by
// another. Errors that wrap ErrRefused are the tenant's to mend, ErrUnsettled
// means that the folder is being written to, all others are the origin's.
type Origin interface {
	// Look asks what is there. An error says nothing about what is there: all that
	// is live stays.
	Look(ctx context.Context) (*Look, error)
	// List lists the files of a folder as the last Look found it.
	List(ctx context.Context, name string) (*Listing, error)
	// Hints has a value soon after something may have changed. Hints get lost: the
	// store looks from time to time anyway. Nil if the origin gives none.
	Hints() <-chan struct{}
	// Close ends what the origin runs. No other method is called after it.
	Close() error
}

// Historian is an Origin that has the past of its folders too. Its methods are called
// as Look and List are.
type Historian interface {
	// At lists the files of a folder as a revision had them.
	At(ctx context.Context, name string, rev tenant.Revision) (*Listing, error)
	// Before lists the files that a folder had before it changed to what it has at rev,
	// or now if rev is empty. ErrNoEarlier: there are none, or they lie too far back. With
	// a refusal comes a Listing that has the revision.
	Before(ctx context.Context, name string, rev tenant.Revision) (*Listing, error)
	// Signed reports whether content must come from the origin itself, as only signed
	// commits go live.
	Signed() bool
}

// ErrNoEarlier is wrapped by the errors of a Historian that finds nothing.
var ErrNoEarlier = errors.New("no earlier release can be found")

// Look is what an origin held at one moment. The syncer only reads it, and only
// until the next Look.
type Look struct {
	Head string // what is there, for people: a commit, or empty
	// Refused is why the origin is not followed to its newest state, in words for who
	// deploys: the rest of Look is then of the last state that was taken. Empty: it is.
	Refused string
	// Folders maps each tenant's folder, by its path below the store's root, to a
	// key: equal keys mean equal content. An empty key means that the folder is
	// there and cannot be taken yet.
	Folders map[string]string
	// Blind are the folders, "." for the root, that were found empty. An unmounted
	// or emptied store looks like that, so what is live below them stays.
	Blind []string
	// Odd are things in the place of tenants' folders that cannot be, and why.
	Odd map[string]string
	// NotTaken has the commits that were refused, of the branch and of previews, and why.
	NotTaken map[string]string
	// Again is how soon a folder may have settled; zero when none is awaited.
	Again time.Duration
}

// Preview is the name of a folder as a preview has it; it is one of Look's Folders.
func Preview(folder, name string) string { return path.Join(folder, tenant.PreviewFolder, name) }

// CutPreview is the reverse of Preview; ok is false for a tenant's own folder.
func CutPreview(name string) (folder, preview string, ok bool) {
	dir, preview := path.Split(name)
	folder, mark := path.Split(path.Clean(dir))
	return path.Clean(folder), preview, mark == tenant.PreviewFolder
}

// Keeps reports whether a folder that is not in Folders is not known to be gone.
func (l *Look) Keeps(name string) bool {
	for _, b := range l.Blind {
		if b == "." || strings.HasPrefix(name, b+"/") {
			return true
		}
	}
	return false
}

// Listing is the content of one folder.
type Listing struct {
	// Revision and Time are the origin's; a zero Revision means a digest of the
	// content, found now.
	Revision tenant.Revision
	Time     time.Time
	Files    []Entry
	// Settled is asked after all files were read: is what was read the folder at
	// one moment? Nil means yes.
	Settled func() error
}

// Entry is a file of a Listing.
type Entry struct {
	Path string // relative to the folder, slash-separated; not yet checked
	Size int64
	Key  string // equal keys mean equal content; empty: not known
	Open func() (io.ReadCloser, error)
}

// ErrRefused is wrapped by each error that the tenant can mend.
var ErrRefused = errors.New("refused")

// ErrUnsettled means that a folder is just being written to.
var ErrUnsettled = errors.New("still being written")

type refusal string

func (r refusal) Error() string { return string(r) }

func (r refusal) Unwrap() error { return ErrRefused }

// Refuse makes an error that wraps ErrRefused and reads as the words given: what
// is wrong, where, and how to mend it.
func Refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// CommitError is the refusal of one commit. It wraps ErrRefused.
type CommitError struct {
	Commit string
	Err    error // why, in words for who pushes
}

// Error names the commit and the reason.
func (e *CommitError) Error() string {
	return fmt.Sprintf("commit %s is not taken: %v", e.Commit, e.Err)
}

// Unwrap returns ErrRefused and the reason.
func (e *CommitError) Unwrap() []error { return []error{ErrRefused, e.Err} }

// Limits bound a walk over a tenant's folder.
const (
	MaxEntries = 20_000 // files and folders, those with a dot in front included
	MaxDepth   = 32     // folders inside each other
)
