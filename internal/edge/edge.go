package edge

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/bfd"
	"github.com/terrane/terrane/bgp/hostaddr"
	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/arrivals"
	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/fetch"
	"github.com/terrane/terrane/internal/health"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/lattice/notice"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/memory"
	"github.com/terrane/terrane/internal/parts"
	"github.com/terrane/terrane/server"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/tenant"
)

// Edge is a whole edge server. New builds it from a configuration without
// starting anything; Run runs it.
type Edge struct {
	cfg *config.Config
	opt Options
	log *slog.Logger

	metrics   *prometheus.Registry
	started   time.Time
	Memory    memory.Plan
	Lattice   Fabric
	states    tenantStates
	shared    *state.Store // of certificates; nil where they are in a folder
	engine    engine.Engine
	resolver  hostcalls.Resolver
	fetcher   *fetch.Client
	Verifier  *dnsverify.Verifier
	Logs      *server.Logs
	Sites     *server.Sites
	Syncer    *tenantsync.Syncer
	GitHost   *githost.Host   // nil without a store that this edge keeps
	Authority *certs.Internal // tls.mode = "internal"
	acme      *acme.Manager   // tls.mode = "acme"
	files     *certs.Files    // tls.mode = "files"
	tickets   *certs.Tickets  // nil without tls.tickets
	Server    *server.Server
	Health    *health.Monitor
	wasReady  bool              // of the goroutine that calls setHealth
	announcer *bgp.Announcer    // nil without [bgp]
	arrivals  *arrivals.Counter // nil without [bgp]
	bfd       *bfd.Speaker      // nil without a neighbor that wants it
	addresses *hostaddr.Manager // nil without bgp.manage_address
	Admin     *admin.Server     // nil without admin.listen
}

// Options are what is not for the configuration to say.
type Options struct {
	Version    string // of the build, as status shows it
	Logger     *slog.Logger
	AccessLog  io.Writer       // nil: none
	ServePlain bool            // sites over HTTP too
	Forgetful  bool            // verdicts on domains do not survive a restart
	CADir      string          // of the internal CA; empty: in the data folder
	Again      []time.Duration // between the tries of a message; nil: as package messages has it
	Fleet      fleet.Options   // its times; zero: as the package has them
	// Publisher stands between the stores and the sites.
	Publisher func(tenantsync.Publisher) tenantsync.Publisher
}

// New builds an edge from cfg and starts nothing. Its error joins every fault of cfg, those
// that Load found included (Faults).
func New(ctx context.Context, cfg *config.Config, opt Options) (*Edge, error) {
	if err := Faults(cfg); err != nil {
		return nil, err
	}
	e := &Edge{started: time.Now(), Memory: memoryPlan(&cfg.Limits), cfg: cfg, opt: opt, log: opt.Logger, metrics: prometheus.NewRegistry()}
	e.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, build := range []func(context.Context) error{
		e.buildLattice, e.buildFabric, e.buildState, e.buildShared, e.buildTasks, e.buildFleet, e.buildGuests,
		e.buildSites, e.buildGitHost, e.buildServer, e.buildHealth, e.buildBGP, e.buildAdmin,
	} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *Edge) buildSites(context.Context) error {
	c := e.cfg
	var err error
	verdicts := filepath.Join(c.Edge.Data, "verdicts.json")
	if e.opt.Forgetful {
		verdicts = ""
	}
	o := dnsOptions(&c.DNS)
	o.StatePath, o.Logger, o.Metrics = verdicts, e.logger("dnsverify"), e.metrics
	if e.Verifier, err = dnsverify.New(o); err != nil {
		return err
	}
	blobs := tenantsync.NewFiles(c.Edge.Data)
	e.Sites, err = server.NewSites(server.SitesOptions{
		Engine:         e.engine,
		Blobs:          blobs,
		Verifier:       e.Verifier,
		PreviewDomain:  tenant.Host(c.Preview.Domain),
		Wanted:         e.wanted(),
		Guest:          e.guest(blobs),
		Limits:         Limits(&c.Limits),
		ModuleBytes:    moduleBytes(e.Memory),
		RequireConsent: c.DNS.RequireConsent,
		Logger:         e.logger("server"),
		Metrics:        e.metrics,
	})
	if err != nil {
		return err
	}
	var publish tenantsync.Publisher = publisher{e.Sites, e.serves, e.servesNot, e.logger("server")}
	if e.opt.Publisher != nil {
		publish = e.opt.Publisher(publish)
	}
	e.Syncer, err = tenantsync.New(tenantsync.Options{
		Data:      c.Edge.Data,
		Stores:    stores(c),
		Publisher: publish,
		Peers:     e.Lattice.Fleet,
		Judge:     e.fetcher.Judge,
		IsRefusal: func(err error) bool { return errors.Is(err, engine.ErrRefused) },
		Limits:    Limits(&c.Limits),
		Reread:    int64(c.Edge.Reread),
		Hooked:    func(store string) { e.Lattice.Notices.Send(notice.Notice{Store: store}) },
		Logger:    e.logger("sync"),
		Metrics:   e.metrics,
	})
	return err
}

func (e *Edge) buildServer(context.Context) error {
	tlsConfig, err := e.tlsConfig()
	if err != nil {
		return err
	}
	if secret := e.cfg.TLS.Tickets; secret != "" {
		if e.tickets, err = certs.NewTickets(tlsConfig, []byte(secret), 0); err != nil {
			return err
		}
	} else if err := e.shareTickets(tlsConfig); err != nil {
		return err
	}
	o := server.Options{
		Sites:      e.Sites,
		Edge:       e.cfg.Edge.Name,
		Region:     e.cfg.Edge.Region,
		Elsewhere:  e.Lattice.Placement,
		HTTP:       e.cfg.HTTP.Listen,
		HTTPS:      e.cfg.HTTPS.Listen,
		TLS:        tlsConfig,
		ServePlain: e.opt.ServePlain,
		HSTS:       time.Duration(e.cfg.HTTPS.HSTS),
		Webhook:    e.webhook(),
		Hosts:      e.ownHosts(),
		Refused:    e.refused,

		BufferBytes:        cmp.Or(int64(e.cfg.Limits.Bodies), e.Memory.Bodies),
		Connections:        e.cfg.Limits.Connections,
		NetworkConnections: e.cfg.Limits.ConnectionsPerNetwork,

		ProxyProtocol: e.cfg.HTTPS.ProxyProtocol,
		Drain:         time.Duration(e.cfg.HTTPS.Drain),
		Logger:        e.logger("server"),
		AccessLog:     e.opt.AccessLog,
		Metrics:       e.metrics,
	}
	if e.acme != nil {
		o.Challenges = e.acme.HTTPHandler
	}
	if e.cfg.BGP != nil {
		e.arrivals = arrivals.New(e.cfg.BGP.Prefixes)
		o.Listener = e.arrivals.Listener
	}
	e.Server, err = server.New(o)
	return err
}

func (e *Edge) buildBGP(context.Context) error {
	if e.cfg.BGP == nil {
		return nil
	}
	var err error
	if e.cfg.BGP.ManageAddress {
		o := hostaddr.Options{Addresses: announced(e.cfg), Logger: e.logger("hostaddr")}
		if e.addresses, err = hostaddr.New(o); err != nil {
			return err
		}
	}
	if peers, _ := bfdPeers(e.cfg.BGP); len(peers) > 0 {
		if e.bfd, err = bfd.New(bfd.Options{Peers: peers, Logger: e.logger("bfd"), Metrics: e.metrics}); err != nil {
			return err
		}
	}
	o := announcerOptions(e.cfg.BGP)
	o.Visitors = e.arrivals
	o.DrainFile = filepath.Join(e.cfg.Edge.Data, "drained")
	o.Logger, o.Metrics = e.logger("bgp"), e.metrics
	e.announcer, err = bgp.New(o)
	return err
}

func (e *Edge) buildAdmin(context.Context) error {
	if e.cfg.Admin.Listen == "" {
		return nil
	}
	status := map[string]func() any{
		"edge": func() any {
			return map[string]string{"name": e.cfg.Edge.Name, "region": e.cfg.Edge.Region, "version": e.opt.Version}
		},
		"sync":    func() any { return e.Syncer.Status() },
		"health":  func() any { return e.Health.Status() },
		"lattice": func() any { return e.Lattice.Status() },
		"members": func() any { return e.Lattice.Members.Status() },
		"edges":   func() any { return e.Lattice.Presence.Edges() },
		"fleet":   func() any { return e.Lattice.Fleet.Differences() },
		"tasks":   func() any { return e.tasks() }, //nolint:contextcheck // admin asks without one
	}
	if e.states.status != nil {
		status["state"] = e.states.status
	}
	if e.announcer != nil {
		status["bgp"] = func() any { return e.announcer.Status() }
		if e.bfd != nil {
			status["bfd"] = func() any { return e.bfd.Status() }
		}
	}
	o := admin.Options{
		Listen:   e.cfg.Admin.Listen,
		Token:    string(e.cfg.Admin.Token),
		Gatherer: e.metrics,
		Ready:    e.Ready,
		Status:   status,
		Logs:     e.tenantLog,
		Doctor:   e.examine,
		Lattice:  e.examineLattice,
		Progress: e.fleetProgress,
		Releases: e.Syncer.Releases,
		Rollback: e.rollback,
		Members:  e.Lattice.Members,
		Repair:   e.repair,
		State:    e.states.moves(),
		Logger:   e.logger("admin"),
	}
	if e.announcer != nil {
		o.Routes = e.announcer
	}
	var err error
	e.Admin, err = admin.New(o)
	return err
}

// Run runs the edge until ctx ends, and then takes it down in order: it leaves the
// routes, finishes what is in flight, and only then stops what requests need.
func (e *Edge) Run(ctx context.Context) error {
	var list []parts.Part
	add := func(name string, run func(context.Context) error) {
		list = append(list, parts.Part{Name: name, Run: run})
	}
	if e.Admin != nil {
		add("admin", e.Admin.Run)
	}
	add("lattice", e.Lattice.Run)
	if e.states.run != nil {
		add("state", e.states.run)
	}
	if e.shared != nil {
		add("shared certificates", e.shared.Run)
	}
	if e.files != nil {
		add("certificates", e.files.Run)
	}
	if e.acme != nil {
		add("certificates", e.acme.Run)
	}
	if e.tickets != nil {
		add("tickets", e.tickets.Run)
	}
	if e.addresses != nil {
		add("addresses", e.addresses.Run)
	}
	add("dnsverify", e.Verifier.Run)
	if e.GitHost != nil {
		add("git", e.GitHost.Run)
	}
	add("sync", e.Syncer.Run)
	add("server", e.Server.Run)
	add("placement", e.Lattice.Placement.Run)
	add("messages", e.Lattice.Messages.Run)
	add("cron", e.Lattice.Cron.Run)
	add("presence", e.Lattice.Presence.Run)
	add("members", e.Lattice.Members.Run)
	add("fleet", func(ctx context.Context) error { return e.Lattice.Fleet.Run(ctx, e.Syncer) })
	add("notices", e.Lattice.Notices.Run)
	add("answers", e.Lattice.Asker.Run)
	add("logs", e.Lattice.Logs.Run)
	if e.Lattice.Tickets != nil {
		add("tickets", e.Lattice.Tickets.Run)
	}
	add("health", e.Health.Run)
	if e.bfd != nil {
		add("bfd", e.bfd.Run)
	}
	if e.announcer != nil {
		add("bgp", e.announcer.Run)
	}
	add("listeners", e.logListeners)
	err := parts.Run(ctx, list)
	e.fetcher.Close()
	return errors.Join(err, e.Sites.Close(context.WithoutCancel(ctx)), e.engine.Close(context.WithoutCancel(ctx)))
}

// Name is the edge's name.
func (e *Edge) Name() string { return e.cfg.Edge.Name }

func (e *Edge) logger(part string) *slog.Logger { return e.log.With("part", part) }

func (e *Edge) setHealth(s health.Status) {
	reasons := strings.Join(s.Reasons, "; ")
	switch {
	case s.Ready:
		e.wasReady = true
		e.log.Info("edge is ready")
	case e.wasReady:
		e.log.Warn("edge is not ready", "reasons", reasons)
	default:
		e.log.Debug("edge is not ready yet", "reasons", reasons)
	}
	e.Lattice.Presence.Touch()
	if e.announcer != nil {
		e.announcer.SetHealth(s.Ready, reasons)
	}
}
