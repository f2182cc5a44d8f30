package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/terrane/terrane/sync/internal/folder"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// Publisher takes releases live. Both methods may be called for different tenants at
// the same time, never for one.
type Publisher interface {
	// Publish compiles and checks all modules of s and swaps them live, or returns
	// why not and changes nothing. The content of files is read by Files.Open.
	// Publishing what is live already is a success.
	Publish(ctx context.Context, s *tenant.Snapshot) error
	// Remove takes the tenant down. An unknown one is no fault.
	Remove(ctx context.Context, id tenant.ID)
}

// ErrRefused is wrapped by each error that the tenant can mend. A Publisher's
// errors may wrap it, see Options.IsRefusal.
var ErrRefused = origin.ErrRefused

// ErrInUse is wrapped by Run's error when another process has the data folder.
var ErrInUse = mirror.ErrInUse

// Options configure a Syncer.
type Options struct {
	Data      string // folder of the mirror; made if need be, for this Syncer alone
	Stores    []Store
	Publisher Publisher
	// IsRefusal tells Publish's refusals, which are the tenant's to mend, from the
	// host's failures, which are tried again. What wraps ErrRefused is one anyway.
	IsRefusal func(error) bool
	// Limits are the operator's ceilings: ModuleSize and SiteSize are enforced
	// here. Zero fields: no bound.
	Limits tenant.Limits
	// Peers are asked for what this edge cannot find out alone: what the fleet serves of a
	// tenant whose newest release is refused, and operators' choices. Nil: it is alone.
	Peers Peers
	// Hooked is told the prefix of each store that a webhook makes look at its origin.
	// It must not block. Nil: nobody wants to know.
	Hooked func(prefix string)
	// Judge refuses addresses of repositories whose host the tenant names. Nil: none is refused.
	Judge func(netip.Addr) error
	// Reread is how many bytes a second the content of folders on mounted file systems is
	// read again at, over all stores: not each change there shows in sizes and times. Each
	// file counts 16 KiB more. 0: 4 MiB.
	Reread   int64
	MaxFiles int // of one release; 0: 10,000
	Keep     int // releases of each tenant that stay in the mirror; 0: 5

	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nothing
}

// Store is one place tenants deploy to. Exactly one of Folder, Git and GitTenant is
// set.
type Store struct {
	Prefix string        // of the IDs of its tenants: "/git/", "git@git.example.net:"
	Depth  int           // how deep below the root tenants' folders lie; 0: 1
	Poll   time.Duration // how often to look, at most; 0: folders 2s, git 5s, a tenant's repository 1m
	Folder *Folder
	Git    *Git
	// GitTenant: each tenant has a repository of its own, whose URL is its ID. It is
	// mirrored from the first Want, and dropped a day after the last. URL is not used.
	// With Hosted, Locate says where this edge keeps the repository of an ID; ok is
	// false for an ID that can have none.
	GitTenant *Git
}

// Folder is a directory.
type Folder struct {
	Path string
	// Settle is how long a tenant's folder must keep still; 0: 100ms if all its files
	// are on local file systems, else 2s.
	Settle time.Duration
}

// Git is one branch of a repository. The files it names are read before each
// look, so that they can be rotated.
type Git struct {
	URL        string        // https, http, ssh, file, git@host:path
	Branch     string        // empty: "main"
	Timeout    time.Duration // of one fetch or clone; 0: 5m
	Username   string        // https: beside the token; empty: "git"
	TokenFile  string        // https: token or password
	SSHKey     string        // ssh: file of a private key without passphrase; empty: the agent's, then the user's
	KnownHosts string        // ssh: file; empty: the user's and the system's
	CA         string        // https: PEM file of further roots
	MaxPack    int64         // bytes that one fetch may bring; 0: 4 GiB
	// AllowedSigners is a file as ssh-keygen(1) describes it, SignerKeys one of armored
	// OpenPGP keys. If any is set, only commits signed by one of its keys go live, and
	// only if they descend from the one before.
	AllowedSigners string
	SignerKeys     string
	// FastForward asks for such descent without signatures. To follow a branch that was
	// rewritten all the same, remove the store's ".accepted" file in the folder "git"
	// of Data.
	FastForward bool
	// Previews takes the branches "preview/NAME" too: a folder that such a branch changes
	// is published as tenant.ID.Preview, a tenant of its own without crons, until the
	// branch is deleted or merged.
	Previews bool
	// Hosted says that this edge keeps the repository: before the first push it is
	// empty, which is no fault.
	Hosted bool
	Locate func(id tenant.ID) (url string, ok bool) `json:"-"`
	// WebhookSecret is what webhooks for this store are signed with; empty: none are taken.
	WebhookSecret string

	within string // of a tenant's repository: the prefix that URL must lie below
}

const (
	defaultMaxFiles   = 10_000
	defaultKeep       = 5
	defaultFolderPoll = 2 * time.Second
	defaultGitPoll    = 5 * time.Second
	defaultReread     = 4 << 20
	publishTimeout    = time.Minute
	publishers        = 8 // releases that are published at a time: slow ones must not fill all places
)

// Syncer keeps the edge in step with its stores. Only New makes one.
type Syncer struct {
	o        Options
	log      *slog.Logger
	metrics  *metrics
	stores   []*store
	groups   []*group
	mirrored chan struct{}
	reread   *rate.Limiter
	slots    chan struct{} // one per release that may be published at a time
	fetching chan struct{} // one per release that may be fetched from peers at a time
}

// New returns a Syncer. It starts nothing; call Run. Its error joins every fault of the
// options (Options.Check).
func New(o Options) (*Syncer, error) {
	if o.Data == "" || o.Publisher == nil {
		return nil, errors.New("sync: want a data folder and a publisher")
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.MaxFiles, o.Keep, o.Reread = cmp.Or(o.MaxFiles, defaultMaxFiles), cmp.Or(o.Keep, defaultKeep), cmp.Or(o.Reread, defaultReread)
	s := &Syncer{
		o: o, log: o.Logger, mirrored: make(chan struct{}),
		reread: rate.NewLimiter(rate.Limit(o.Reread), folder.RereadBurst),
		slots:  make(chan struct{}, publishers), fetching: make(chan struct{}, fetchers),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, c := range o.Stores {
		if c.GitTenant != nil {
			s.groups = append(s.groups, newGroup(s, c))
		} else {
			s.stores = append(s.stores, newStore(s, c))
		}
	}
	var err error
	if s.metrics, err = newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("sync: register metrics: %w", err)
	}
	return s, nil
}

// Run publishes what the mirror holds, then follows the stores until ctx ends. It
// returns nil then, else why it cannot begin: a data folder that cannot be
// written, or is in use (ErrInUse). It can be called once.
func (s *Syncer) Run(ctx context.Context) error {
	m, err := mirror.Open(s.mirrorDir(), s.o.Keep)
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // only gives the lock back
	for _, d := range m.Damaged() {
		s.metrics.damaged.Inc()
		s.log.Error("a release record was damaged and is gone: the tenant cannot be rolled back to it, and an older release is served until its folder is read again",
			"tenant", d.Tenant, "newest", d.Live, "file", d.Path, "err", d.Err)
	}
	var g errgroup.Group
	for _, st := range s.stores {
		st.load(m)
	}
	s.forgetStrays(m)
	for _, st := range s.stores {
		g.Go(func() error { return st.run(ctx) })
	}
	for _, gr := range s.groups {
		gr.load(m)
		gr.loaded()
		g.Go(func() error { return gr.run(ctx) })
	}
	g.Go(func() error { s.awaitMirrored(ctx); return nil })
	return g.Wait()
}

// awaitMirrored closes mirrored when all stores are ready. Those of tenants' own
// repositories, which peers serve too, are awaited for a while only.
func (s *Syncer) awaitMirrored(ctx context.Context) {
	if s.o.Peers != nil {
		select {
		case <-s.o.Peers.Known():
		case <-ctx.Done():
			return
		}
	}
	joined, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	for _, st := range s.all() {
		limit := ctx
		if st.whole {
			limit = joined
		}
		select {
		case <-st.ready:
		case <-limit.Done():
		}
	}
	if ctx.Err() == nil {
		close(s.mirrored)
	}
}

func (s *Syncer) mirrorDir() string { return mirrorDir(s.o.Data) }

// forgetStrays drops the releases of tenants whose store is no longer configured.
func (s *Syncer) forgetStrays(m *mirror.Mirror) {
	for _, id := range m.Tenants() {
		if !slices.ContainsFunc(s.o.Stores, func(c Store) bool { _, ok := id.Under(c.Prefix); return ok }) {
			if err := m.Remove(id); err != nil {
				s.log.Warn("cannot remove a tenant of no store", "tenant", id, "err", err)
			}
		}
	}
}

// Mirrored is closed once each store has been mirrored: read from its origin and
// published, or published from the mirror of an earlier run.
func (s *Syncer) Mirrored() <-chan struct{} { return s.mirrored }

// Nudge makes the stores whose prefix begins with the given one look at their
// origins now. It never blocks; nudges in a burst become one.
func (s *Syncer) Nudge(prefix string) {
	for _, st := range s.all() {
		if strings.HasPrefix(st.c.Prefix, prefix) {
			st.wake()
		}
	}
}

// Recheck has the content of a tenant's folder read soon, and taken again if it is not
// what was taken: for a tenant that another edge serves at another revision. A
// commit needs no such look. It never blocks.
func (s *Syncer) Recheck(id tenant.ID) {
	for _, st := range s.stores {
		name, ok := st.name(id)
		st.mu.Lock()
		f := st.folder
		st.mu.Unlock()
		if ok && f != nil {
			f.Recheck(name)
		}
	}
}

// Want says that a verified domain names the tenant. Stores of tenants' own
// repositories begin to mirror the one it names; folder stores look for a folder
// that their root does not list, as Keybase does not. It never blocks, and may be
// called at each verdict.
func (s *Syncer) Want(id tenant.ID) {
	for _, st := range s.stores {
		if name, ok := st.name(id); ok && st.c.Folder != nil {
			st.want(name)
		}
	}
	for _, g := range s.groups {
		if _, ok := id.Under(g.c.Prefix); ok {
			g.want(id)
		}
	}
}

// all are the stores of the configuration and those of tenants' own repositories.
func (s *Syncer) all() []*store {
	all := slices.Clone(s.stores)
	for _, g := range s.groups {
		all = append(all, g.all()...)
	}
	return all
}
