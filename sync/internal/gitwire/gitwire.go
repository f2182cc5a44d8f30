package gitwire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// Options configure a Remote.
type Options struct {
	URL string
	// Within is the prefix that the URL, which is a tenant's ID, must lie below. Empty:
	// the URL is the operator's word.
	Within string
	// Judge refuses addresses where Within is tenant.AnyHTTPS, so that the tenant names the
	// host. It is asked when they are dialed, of redirects too. Nil: none is refused.
	Judge   func(netip.Addr) error
	Auth    Auth
	MaxPack int64 // bytes of one pack; 0: no bound
	// MaxRefs and RefsTime bound a listing; 0: 32 MiB and a minute.
	MaxRefs  int64
	RefsTime time.Duration
}

// Auth says who the client is. The files are read by each Remote's Prepare, so that
// they can be rotated.
type Auth struct {
	Username   string // https: for the token; empty: "git"
	TokenFile  string // https: a token or password
	SSHKey     string // ssh: a private key without passphrase; empty: the ssh agent's keys, then ~/.ssh/id_*
	KnownHosts string // ssh: empty means the user's and the system's
	CA         string // https: PEM of further roots
}

const (
	defaultMaxRefs  = 32 << 20
	defaultRefsTime = time.Minute
	dialTime        = 30 * time.Second
	maxKept         = 10_000 // references that are kept of one listing
	maxShallow      = 10_000
)

// Remote is one repository. It is for one goroutine. Only New makes one.
type Remote struct {
	o        Options
	endpoint *transport.Endpoint
	user     string // https
	password string
	ca       string // that transport has
	http     *http.Transport
	ssh      sshFiles
}

// New checks the URL. It reads no file and reaches nobody.
func New(o Options) (*Remote, error) {
	if o.MaxRefs <= 0 {
		o.MaxRefs = defaultMaxRefs
	}
	if o.RefsTime <= 0 {
		o.RefsTime = defaultRefsTime
	}
	endpoint, err := transport.NewEndpoint(o.URL)
	if err != nil {
		return nil, errors.New("the origin's URL cannot be read") // its error has the password
	}
	if err := within(o, endpoint); err != nil {
		return nil, err
	}
	return &Remote{o: o, endpoint: endpoint}, nil
}

// within compares what will be connected to with the prefix, after the URL was taken
// apart and decoded.
func within(o Options, e *transport.Endpoint) error {
	if o.Within == "" {
		return nil
	}
	outside := fmt.Errorf("%q is not below %q: it is not asked", o.URL, o.Within)
	id, err := tenant.ParseID(o.URL)
	if _, ok := id.Under(o.Within); err != nil || !ok || string(id) != o.URL {
		return outside
	}
	if rest, ok := strings.CutPrefix(o.URL, tenant.AnyHTTPS); ok {
		host, path, _ := strings.Cut(rest, "/")
		if e.Protocol != "https" || hostPort(e) != host || e.Path != "/"+path || e.User != "" || e.Password != "" {
			return outside
		}
		return nil
	}
	host, path, ok := strings.Cut(strings.TrimPrefix(o.URL, "git@"), ":")
	if !ok || e.Protocol != "ssh" || e.Host != host || e.Port != 22 || e.Path != path || e.User != "git" {
		return outside
	}
	return nil
}

func hostPort(e *transport.Endpoint) string {
	if e.Port == 0 {
		return e.Host
	}
	return e.Host + ":" + strconv.Itoa(e.Port)
}

// Prepare reads the files that Auth names.
func (r *Remote) Prepare() error {
	switch r.endpoint.Protocol {
	case "http", "https":
		return r.prepareHTTP()
	case "ssh":
		return r.prepareSSH()
	case "file":
		return nil
	}
	return fmt.Errorf("the origin's URL has the scheme %q: want https, http, ssh or file", r.endpoint.Protocol)
}

func (r *Remote) prepareHTTP() error {
	a := r.o.Auth
	ca := ""
	if a.CA != "" {
		data, err := os.ReadFile(a.CA)
		if err != nil {
			return fmt.Errorf("origin's roots: %w", err)
		}
		ca = string(data)
	}
	if r.http == nil || r.ca != ca {
		r.Rest()
		r.http, r.ca = http.DefaultTransport.(*http.Transport).Clone(), ca
		if r.o.Judge != nil && r.o.Within == tenant.AnyHTTPS {
			r.http.Proxy, r.http.DialContext = nil, judged(r.o.Judge).DialContext // a proxy would dial unseen
		}
		if ca != "" {
			roots, err := x509.SystemCertPool()
			if err != nil {
				roots = x509.NewCertPool()
			}
			if !roots.AppendCertsFromPEM([]byte(ca)) {
				return fmt.Errorf("origin's roots: %s has no certificate in PEM", a.CA)
			}
			r.http.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
	}
	r.user, r.password = r.endpoint.User, r.endpoint.Password
	if a.TokenFile == "" {
		return nil
	}
	token, err := os.ReadFile(a.TokenFile)
	if err != nil {
		return fmt.Errorf("origin's token: %w", err)
	}
	r.user, r.password = a.Username, strings.TrimSpace(string(token))
	if r.user == "" {
		r.user = "git"
	}
	return nil
}

// judged is a dialer for addresses that judge accepts.
func judged(judge func(netip.Addr) error) *net.Dialer {
	return &net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if err := judge(to.Addr()); err != nil {
			return fmt.Errorf("no tenant's repository is fetched from there unless the store's prefix names the host: %w", err)
		}
		return nil
	}}
}

// Rest closes connections that no request uses.
func (r *Remote) Rest() {
	if r.http != nil {
		r.http.CloseIdleConnections()
	}
}

// name is the origin without its credentials, for people.
func (r *Remote) name() string {
	e := *r.endpoint
	e.User, e.Password = "", ""
	return e.String()
}

// List returns the references that wanted names.
func (r *Remote) List(ctx context.Context, wanted func(name string) bool) (*Refs, error) {
	talk, refs, err := r.begin(ctx, wanted)
	if err != nil {
		return nil, err
	}
	talk.leave()
	return refs, nil
}

// Fetch gives pack what leads to the commit that a reference is at and lacks in haves,
// and returns the commit. If exists says that the commit is there, pack is not called.
func (r *Remote) Fetch(ctx context.Context, name string, haves []plumbing.Hash, exists func(plumbing.Hash) bool, pack func(io.Reader) error) (plumbing.Hash, error) {
	talk, refs, err := r.begin(ctx, func(n string) bool { return n == name })
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer talk.leave()
	want, ok := refs.At[name]
	if !ok {
		return want, fmt.Errorf("%w: %s", plumbing.ErrReferenceNotFound, name)
	}
	if exists(want) {
		return want, nil
	}
	sideband := refs.can("side-band-64k")
	answer, err := talk.ask(ctx, request(want, haves, refs))
	if err != nil {
		return want, talk.blame(err)
	}
	most := int64(1) << 62
	if r.o.MaxPack > 0 {
		most = r.o.MaxPack + r.o.MaxPack/64 + 16<<20 // with packets and progress
	}
	bounded := &bounded{r: answer, left: most, err: origin.Refuse("%s sends more than %d bytes for one fetch", r.name(), r.o.MaxPack)}
	body, err := packOf(bounded, sideband)
	if err == nil {
		err = pack(body)
	}
	if err != nil {
		return want, talk.blame(err)
	}
	return want, nil
}

// talk is one conversation, after the server's listing.
type talk interface {
	// ask sends a request and returns the answer.
	ask(ctx context.Context, request []byte) (io.Reader, error)
	// leave ends the conversation.
	leave()
	// blame adds to an error what the server had to say.
	blame(err error) error
}

var errSlow = errors.New("slow listing")

// begin opens a conversation and reads the listing, within its bounds.
func (r *Remote) begin(ctx context.Context, wanted func(string) bool) (talk, *Refs, error) {
	listing, cancel := context.WithTimeoutCause(ctx, r.o.RefsTime, errSlow)
	defer cancel()
	t, in, err := r.connect(ctx, listing)
	if err == nil {
		var refs *Refs
		tooLong := origin.Refuse("%s lists more than %d bytes of references, which is the bound: delete some", r.name(), r.o.MaxRefs)
		refs, err = readRefs(&bounded{r: in, left: r.o.MaxRefs, err: tooLong}, wanted)
		if err == nil {
			return t, refs, nil
		}
		if listing.Err() == nil { // or the server's words are not worth waiting for
			err = t.blame(err)
		}
		t.leave()
	}
	if errors.Is(context.Cause(listing), errSlow) {
		err = fmt.Errorf("%s did not list its references within %s, which is the bound", r.name(), r.o.RefsTime)
	}
	return nil, nil, err
}

func (r *Remote) connect(ctx, listing context.Context) (talk, io.Reader, error) {
	switch r.endpoint.Protocol {
	case "ssh":
		return r.connectSSH(ctx, listing)
	case "file":
		return r.connectFile(ctx, listing)
	}
	return r.connectHTTP(listing)
}

// bounded is a reader of so many bytes, and an error where there are more.
type bounded struct {
	r    io.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
