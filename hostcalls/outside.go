package hostcalls

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Fetcher sends guests' outbound requests, within a policy of its own: which
// hosts and addresses, how many redirects, how long. It is safe for concurrent use.
type Fetcher interface {
	// Fetch sends r, and returns once the response's header has arrived. HTTP
	// errors are responses. The text of an error is shown to the guest, so it must
	// tell nothing of the host's network. The caller closes Body.
	Fetch(ctx context.Context, r *FetchRequest) (*FetchResponse, error)
}

// FetchRequest is one outbound request. Fetchers only read it.
type FetchRequest struct {
	Tenant tenant.ID // whose guest asks
	Method string
	URL    *url.URL    // absolute, http or https
	Header http.Header // valid; without hop-by-hop fields, Content-Length and Host
	Host   string      // instead of the URL's, if not empty
	Body   []byte
	Allow  []string // the tenant's own bound: host patterns; nil: the operator's alone

	Stream  io.ReadCloser      // the body, instead of Body, while the guest writes it; the Fetcher closes it
	Length  int64              // of Stream in bytes, -1 if unknown
	Trailer func() http.Header // what follows the body, asked for at its end; nil: nothing
	// NoRedirects makes a redirect a response like others.
	NoRedirects bool
}

// Fault is why a fetch has failed.
type Fault uint8

// The faults. An error that says none of them is of another kind.
const (
	FaultOther       Fault = iota
	FaultDenied            // by the policy, for the host's name
	FaultAddress           // by the policy, for the host's address
	FaultName              // the host's name has no address
	FaultResolver          // the name could not be resolved
	FaultConnect           // the upstream cannot be reached
	FaultRefused           // it refused the connection
	FaultClosed            // it closed the connection too early
	FaultTimeout           // it did not answer in time
	FaultCertificate       // its certificate is not good
	FaultTLS               // it does not speak TLS as it should
	FaultHeader            // its header is too large
	FaultLoop              // the request has passed this host too often
)

// FetchError is implemented by errors of Fetchers that say why.
type FetchError interface {
	error
	Fault() Fault
}

// FetchResponse is the answer to a FetchRequest.
type FetchResponse struct {
	Code   int
	Header http.Header
	Body   io.ReadCloser
	Length int64 // of Body in bytes, -1 if unknown
	// Trailer is what followed Body, once that has been read to its end; nil: nothing.
	Trailer func() http.Header
}

// Resolver answers guests' DNS questions. It is safe for concurrent use.
type Resolver interface {
	// Query forwards a DNS message (RFC 1035) to a recursive resolver and returns
	// the answer, which bears the query's transaction id. A message that is not a
	// well-formed query is an error.
	Query(ctx context.Context, message []byte) ([]byte, error)
	// LookupIP returns the IPv4 addresses of a name, or the IPv6 ones.
	LookupIP(ctx context.Context, name string, ipv6 bool) ([]netip.Addr, error)
}

// Logger takes what guests log: single lines of at most LogLineMax bytes, as many
// per request as LogMax bytes hold. It is safe for concurrent use and must not wait.
type Logger interface {
	Log(req *Request, level slog.Level, text string)
}

// The bounds of what one request may log, in bytes.
const (
	LogLineMax = 16 << 10
	LogMax     = 256 << 10
)

// KV is one tenant's key-value store, shared by all its requests. A key is any
// string of at most KVKeyMax bytes, a value of KVValueMax. It is safe for
// concurrent use, and each key is linearizable; package kvtest checks that.
//
// The functions of the ABI are loops of Get and Put around versions, so that a
// provider need only have these four.
type KV interface {
	// Get returns the key's entry, or ErrNotFound. The value must not be modified.
	Get(ctx context.Context, key string) (KVEntry, error)
	// Put stores a value if the key's version is still at, 0 meaning that the key
	// is absent; otherwise it fails with ErrConflict. It returns the new version. From
	// expires on, unless that is zero, the key is absent. It keeps value, which must
	// not be modified any more.
	Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (version uint64, err error)
	// Delete removes the key if its version is still at; otherwise it fails with
	// ErrConflict, or ErrNotFound if the key is absent.
	Delete(ctx context.Context, key string, at uint64) error
	// List returns the first limit keys, in byte order, that begin with prefix and
	// sort behind after.
	List(ctx context.Context, prefix, after string, limit int) ([]string, error)
}

// KVEntry is what a key holds.
type KVEntry struct {
	Value   []byte
	Version uint64    // never 0, and never that of an earlier entry of the key
	Expires time.Time // zero: never
}

// What providers of KV must be able to hold, in bytes. The ABI refuses more.
const (
	KVKeyMax   = 1 << 10
	KVValueMax = 1 << 20
)

// Quota bounds one tenant's KV. Put fails with ErrFull where a tenant would exceed it.
type Quota struct {
	Bytes int64 // of keys and values, and KVEntryCost for each; default 64 MiB
	Keys  int   // default 100,000
}

// KVEntryCost is what a quota counts for an entry beyond its key and value, in bytes.
const KVEntryCost = 128

// WithDefaults fills in what is not set.
func (q Quota) WithDefaults() Quota {
	return Quota{Bytes: cmp.Or(q.Bytes, 64<<20), Keys: cmp.Or(q.Keys, 100_000)}
}

// The errors of KV that callers branch on.
var (
	ErrNotFound = errors.New("no such key")
	ErrConflict = errors.New("the key has changed")
	ErrFull     = errors.New("the store is full: delete keys or shrink values, or ask the operator for more (state.bytes, state.keys)")
)

// ErrUnavailable is wrapped by the error of a message that cannot be kept now, and may be in
// a moment. Of a KV every error but those above says so.
var ErrUnavailable = errors.New("it cannot be reached now")
