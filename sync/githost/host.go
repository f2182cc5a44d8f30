package githost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/internal/dirlock"
	"github.com/terrane/terrane/internal/fault"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// Options configure a Host.
type Options struct {
	Dir   string // of the repositories and the host key; made if need be, for this Host alone
	SSH   string // address to listen on; empty: none
	Repos []Repo
	// Releases is who brings what is pushed live.
	Releases Releases
	// Address is where a tenant is shown, "https://www.example.com"; empty if no
	// domain is known to name it. Nil: none ever is.
	Address func(tenant.ID) string
	Wait    time.Duration // for releases, after a push; 0: 30s
	Logger  *slog.Logger  // nil discards
	Metrics prometheus.Registerer
}

// Releases is what a Host needs of a tenantsync.Syncer.
type Releases interface {
	Nudge(prefix string)
	Follow(ctx context.Context, id tenant.ID) (tenantsync.TenantStatus, error)
}

// Repo is the repository of one store.
type Repo struct {
	Prefix string // of the store; without its outer slashes the repository's name in URLs
	// PerTenant keeps a repository for each tenant, whose name is the tenant's ID:
	// Prefix is "https://HOST/" and folders then. A pusher reads and writes the
	// repositories that its line lists, "*" stands for all, and "-" reads all. Depth is
	// not used.
	PerTenant bool
	Branch    string // empty: "main"
	Depth     int    // how deep tenants' folders lie; 0: 1
	Pushers   string // file of those who may push, see ReadPushers; read at each login
	MaxPush   int64  // bytes of one push, packed or not; 0: 256 MiB
	MaxSize   int64  // bytes that the repository may take before a push; 0: 4 GiB
	// Previews takes the branches "preview/NAME" too.
	Previews bool
	// Rewrites lets pushes rewrite the branch.
	Rewrites bool
	// AllowedSigners and SignerKeys are as in tenantsync.Git.
	AllowedSigners, SignerKeys string
}

const (
	defaultWait    = 30 * time.Second
	defaultMaxPush = 256 << 20
	defaultMaxSize = 4 << 30
	sessionTime    = 30 * time.Minute // of one push or fetch
	lockWait       = 30 * time.Second // for the git commands of a killed process
)

// Host keeps the repositories. Only New makes one.
type Host struct {
	o        Options
	log      *slog.Logger
	repos    map[string]*repo // by name
	requests *lanes           // that are read, or wait, or run
	commands *lanes           // that run
	spooled  *budget          // bytes of requests on disk
	strikes  *strikes
	metrics  *metrics
	opening  sync.Mutex
	opened   map[string]*repo // by folder; opening is held
	lock     *dirlock.Lock    // set by Run before ready is closed
	hostKey  ssh.Signer
	addr     net.Addr // of ssh; likewise
	ready    chan struct{}
	stale    chan *repo // repositories that want maintenance
}

type repo struct {
	Repo
	name   string
	dir    string // with PerTenant and no tenant that of the repositories
	tenant string // whose repository it is, with PerTenant
}

// Check returns every fault in o, joined: each is a *fault.Fault with a key such as
// "repo[0].pushers". It reads the files of pushers.
func (o Options) Check() error {
	var f fault.List
	_, noGit := exec.LookPath("git")
	for i, r := range o.Repos {
		key := fmt.Sprintf("repo[%d].", i)
		if noGit != nil {
			f.Add(key+"serve", "the git command is not in PATH: install git, which keeps the repository")
		}
		own := name(r.Prefix)
		if own == "" && !r.PerTenant || slices.ContainsFunc(o.Repos[:i], func(q Repo) bool { return name(q.Prefix) == own }) {
			f.Add(key+"prefix", "%q: want one that names a repository, such as \"/git/\", once", r.Prefix)
		}
		_, err := ReadPushers(r.Pushers, r.Prefix)
		f.AddErr(key+"pushers", err)
	}
	return f.Err()
}

// New returns a Host. It starts nothing; call Run. Its error joins every fault of the
// options (Options.Check).
func New(o Options) (*Host, error) {
	if o.Dir == "" || o.Releases == nil || len(o.Repos) == 0 {
		return nil, errors.New("githost: want a folder, a store and who brings releases live")
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil { // git would resolve it from the repository
		return nil, fmt.Errorf("githost: %w", err)
	}
	h := &Host{
		o: o, log: o.Logger, repos: map[string]*repo{}, opened: map[string]*repo{}, spooled: &budget{of: map[string]int64{}}, requests: newLanes(maxRequests, slotWait), commands: newLanes(maxCommands, slotWait), strikes: newStrikes(),
		ready: make(chan struct{}), stale: make(chan *repo, 1),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.o.Wait <= 0 {
		h.o.Wait = defaultWait
	}
	if h.o.Address == nil {
		h.o.Address = func(tenant.ID) string { return "" }
	}
	for _, c := range o.Repos {
		r := &repo{Repo: c, name: name(c.Prefix), dir: Dir(o.Dir, c.Prefix)}
		if r.Branch == "" {
			r.Branch = "main"
		}
		r.Depth = max(r.Depth, 1)
		if r.MaxPush <= 0 {
			r.MaxPush = defaultMaxPush
		}
		if r.MaxSize <= 0 {
			r.MaxSize = defaultMaxSize
		}
		h.repos[r.name] = r
		largest := maxRequest + r.MaxPush
		h.spooled.most, h.spooled.each = max(h.spooled.most, maxSpooled*largest), max(h.spooled.each, eachSpooled*largest)
	}
	h.metrics, err = newMetrics(o.Metrics)
	return h, err
}

func name(prefix string) string {
	if rest, ok := strings.CutPrefix(prefix, tenant.AnyHTTPS); ok {
		_, prefix, _ = strings.Cut(rest, "/")
	}
	return strings.Trim(prefix, "/")
}

// Dir is where a Host with this folder keeps a store's repository.
func Dir(dir, prefix string) string { return filepath.Join(dir, url.PathEscape(name(prefix))+".git") }

// URL is where a Host with this folder keeps a store's repository, as a URL.
func URL(dir, prefix string) string { return fileURL(Dir(dir, prefix)) }

// Ready is closed once repositories can be pushed to.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// SSHAddr is where ssh listens, nil without; it is known once Ready is closed.
func (h *Host) SSHAddr() net.Addr { return h.addr }

// Run makes the repositories or mends what a killed process left in them, and serves
// ssh until ctx ends. It can be called once. Handlers must have ended before ctx does.
func (h *Host) Run(ctx context.Context) error {
	var err error
	if h.lock, err = dirlock.Wait(ctx, h.o.Dir, lockWait); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer h.lock.File().Close() //nolint:errcheck // gives the lock back once its git commands have ended
	if err := errors.Join(h.checkGit(ctx), h.writeHooks(), h.dropSpools()); err != nil {
		return err
	}
	for _, r := range h.repos {
		if err := h.open(ctx, r); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	if h.o.SSH != "" {
		ln, err := h.listenSSH(ctx)
		if err != nil {
			return err
		}
		h.addr = ln.Addr()
		g.Go(func() error { return h.serveSSH(ctx, ln) })
	}
	close(h.ready)
	for _, r := range h.repos {
		h.o.Releases.Nudge(r.Prefix)
	}
	g.Go(func() error { h.maintain(ctx); return nil })
	return g.Wait()
}
