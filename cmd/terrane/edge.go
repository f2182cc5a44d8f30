package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
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
	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/fetch"
	"github.com/terrane/terrane/internal/health"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/lattice/notice"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/memory"
	"github.com/terrane/terrane/server"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/tenant"
)

// edge is a whole edge server. newEdge builds it from a configuration without
// starting anything; run runs it.
type edge struct {
	cfg *config.Config
	opt edgeOptions
	log *slog.Logger

	metrics   *prometheus.Registry
	started   time.Time
	memory    memory.Plan
	lattice   fabric
	states    tenantStates
	shared    *state.Store // of certificates; nil where they are in a folder
	engine    engine.Engine
	resolver  hostcalls.Resolver
	fetcher   *fetch.Client
	verifier  *dnsverify.Verifier
	logs      *server.Logs
	sites     *server.Sites
	syncer    *tenantsync.Syncer
	gitHost   *githost.Host   // nil without a store that this edge keeps
	authority *certs.Internal // tls.mode = "internal"
	acme      *acme.Manager   // tls.mode = "acme"
	files     *certs.Files    // tls.mode = "files"
	tickets   *certs.Tickets  // nil without tls.tickets
	server    *server.Server
	health    *health.Monitor
	wasReady  bool              // of the goroutine that calls setHealth
	announcer *bgp.Announcer    // nil without [bgp]
	arrivals  *arrivals.Counter // nil without [bgp]
	bfd       *bfd.Speaker      // nil without a neighbor that wants it
	addresses *hostaddr.Manager // nil without bgp.manage_address
	admin     *admin.Server     // nil without admin.listen
}

// edgeOptions are what is not for the configuration to say.
type edgeOptions struct {
	log        *slog.Logger
	accessLog  io.Writer       // nil: none
	servePlain bool            // sites over HTTP too
	forgetful  bool            // verdicts on domains do not survive a restart
	caDir      string          // of the internal CA; empty: in the data folder
	again      []time.Duration // between the tries of a message; nil: as package messages has it
	fleet      fleet.Options   // its times; zero: as the package has them
	// publisher stands between the stores and the sites.
	publisher func(tenantsync.Publisher) tenantsync.Publisher
}

// newEdge reports all that a configuration is refused for.
func newEdge(ctx context.Context, cfg *config.Config, opt edgeOptions) (*edge, error) {
	e := &edge{started: time.Now(), memory: memoryPlan(&cfg.Limits), cfg: cfg, opt: opt, log: opt.log, metrics: prometheus.NewRegistry()}
	e.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, build := range []func(context.Context) error{
		e.buildLattice, e.buildState, e.buildShared, e.buildTasks, e.buildGuests, e.buildSites, e.buildGitHost, e.buildServer, e.buildHealth, e.buildBGP, e.buildAdmin,
	} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return e, cfg.Err()
}

func (e *edge) buildSites(context.Context) error {
	c := e.cfg
	var err error
	verdicts := filepath.Join(c.Edge.Data, "verdicts.json")
	if e.opt.forgetful {
		verdicts = ""
	}
	e.verifier, err = dnsverify.New(dnsverify.Options{
		Addresses: c.DNS.Addresses,
		Resolvers: c.DNS.Resolvers,
		Labels:    c.DNS.Labels,
		Keys:      c.DNS.Keys,
		StatePath: verdicts,
		RequireAD: c.DNS.RequireDNSSEC,
		MinTTL:    time.Duration(c.DNS.MinTTL),
		Logger:    e.logger("dnsverify"),
		Metrics:   e.metrics,
	})
	if err != nil {
		return err
	}
	blobs, serves := &mirror{}, &served{}
	if err := e.buildFleet(serves); err != nil {
		return err
	}
	e.sites, err = server.NewSites(server.SitesOptions{
		Engine:         e.engine,
		Blobs:          blobs,
		Verifier:       e.previewing(e.serving(blobs)),
		Guest:          e.guest(blobs),
		Limits:         limits(&c.Limits),
		ModuleBytes:    moduleBytes(e.memory),
		RequireConsent: c.DNS.RequireConsent,
		Logger:         e.logger("server"),
		Metrics:        e.metrics,
	})
	if err != nil {
		return err
	}
	var publish tenantsync.Publisher = publisher{e.sites, e.serves, e.servesNot, e.logger("server")}
	if e.opt.publisher != nil {
		publish = e.opt.publisher(publish)
	}
	e.syncer, err = tenantsync.New(tenantsync.Options{
		Data:      c.Edge.Data,
		Stores:    stores(c),
		Publisher: publish,
		Peers:     e.lattice.fleet,
		IsRefusal: func(err error) bool { return errors.Is(err, engine.ErrRefused) },
		Limits:    limits(&c.Limits),
		Reread:    int64(c.Edge.Reread),
		Hooked:    func(store string) { e.lattice.notices.Send(notice.Notice{Store: store}) },
		Logger:    e.logger("sync"),
		Metrics:   e.metrics,
	})
	blobs.Syncer, serves.Syncer = e.syncer, e.syncer
	return err
}

func (e *edge) buildServer(context.Context) error {
	tlsConfig, err := e.tlsConfig()
	if err != nil {
		return err
	}
	if secret := e.cfg.TLS.Tickets; secret != "" {
		if e.tickets, err = certs.NewTickets(tlsConfig, []byte(secret), 0); err != nil {
			return err
		}
	} else if err := e.lattice.shareTickets(e.cfg, tlsConfig, e.logger("tickets")); err != nil {
		return err
	}
	o := server.Options{
		Sites:      e.sites,
		Edge:       e.cfg.Edge.Name,
		Region:     e.cfg.Edge.Region,
		Elsewhere:  e.lattice.placement,
		HTTP:       e.cfg.HTTP.Listen,
		HTTPS:      e.cfg.HTTPS.Listen,
		TLS:        tlsConfig,
		ServePlain: e.opt.servePlain,
		HSTS:       time.Duration(e.cfg.HTTPS.HSTS),
		Webhook:    e.webhook(),
		Hosts:      e.ownHosts(),
		Refused:    e.refused,

		BufferBytes:        cmp.Or(int64(e.cfg.Limits.Bodies), e.memory.Bodies),
		Connections:        e.cfg.Limits.Connections,
		NetworkConnections: e.cfg.Limits.ConnectionsPerNetwork,

		ProxyProtocol: e.cfg.HTTPS.ProxyProtocol,
		Drain:         time.Duration(e.cfg.HTTPS.Drain),
		Logger:        e.logger("server"),
		AccessLog:     e.opt.accessLog,
		Metrics:       e.metrics,
	}
	if most := conns.Room(); o.Connections > most {
		e.cfg.Fault("limits.connections", "%d: this process may open %d files, which leaves room for %d connections: raise that limit (LimitNOFILE in the unit, ulimit -n) or lower this one",
			o.Connections, conns.Descriptors(), most)
	}
	if e.acme != nil {
		o.Challenges = e.acme.HTTPHandler
	}
	if e.cfg.BGP != nil {
		e.arrivals = arrivals.New(e.cfg.BGP.Prefixes)
		o.Listener = e.arrivals.Listener
	}
	e.server, err = server.New(o)
	return err
}

func (e *edge) buildBGP(context.Context) error {
	if e.cfg.BGP == nil {
		return nil
	}
	var err error
	if e.cfg.BGP.ManageAddress {
		o := hostaddr.Options{Addresses: e.announced(), Logger: e.logger("hostaddr")}
		if e.addresses, err = hostaddr.New(o); err != nil {
			return err
		}
	}
	if peers := bfdPeers(e.cfg.BGP); len(peers) > 0 {
		if e.bfd, err = bfd.New(bfd.Options{Peers: peers, Logger: e.logger("bfd"), Metrics: e.metrics}); err != nil {
			e.cfg.Fault("bgp.neighbor", "%v", err)
		}
	}
	o := announcerOptions(e.cfg.BGP)
	o.Visitors = e.arrivals
	o.DrainFile = filepath.Join(e.cfg.Edge.Data, "drained")
	o.Logger, o.Metrics = e.logger("bgp"), e.metrics
	e.announcer, err = bgp.New(o)
	if faults, ok := errors.AsType[bgp.Faults](err); ok {
		for _, f := range faults {
			e.cfg.Fault(f.Key, "%v", f.Err)
		}
		return nil // newEdge returns them with their lines
	}
	return err
}

func (e *edge) buildAdmin(context.Context) error {
	if e.cfg.Admin.Listen == "" {
		return nil
	}
	status := map[string]func() any{
		"edge": func() any {
			return map[string]string{"name": e.cfg.Edge.Name, "region": e.cfg.Edge.Region, "version": version()}
		},
		"sync":    func() any { return e.syncer.Status() },
		"health":  func() any { return e.health.Status() },
		"lattice": func() any { return e.lattice.Status() },
		"members": func() any { return e.lattice.members.Status() },
		"edges":   func() any { return e.lattice.presence.Edges() },
		"fleet":   func() any { return e.lattice.fleet.Differences() },
		"tasks":   func() any { return e.tasks() }, //nolint:contextcheck // admin asks without one
	}
	if e.states.status != nil {
		status["state"] = e.states.status
	}
	actions := map[string]func(context.Context) error{
		repairAction:     func(ctx context.Context) error { return e.repair(ctx, false) },
		acceptLossAction: func(ctx context.Context) error { return e.repair(ctx, true) },
	}
	if e.announcer != nil {
		status["bgp"] = func() any { return e.announcer.Status() }
		if e.bfd != nil {
			status["bfd"] = func() any { return e.bfd.Status() }
		}
		actions["drain"] = e.announcer.Drain
		actions["undrain"] = func(context.Context) error { return e.announcer.Undrain() }
	}
	var err error
	e.admin, err = admin.New(admin.Options{
		Listen:   e.cfg.Admin.Listen,
		Token:    string(e.cfg.Admin.Token),
		Gatherer: e.metrics,
		Ready:    e.ready,
		Logs:     e.tenantLog,
		Actions:  actions,
		KV:       e.kvHandler(),
		Handlers: map[string]http.Handler{"lattice": e.lattice.members.Handler()},
		Progress: func(ctx context.Context, rev tenant.Revision) any { return e.fleetProgress(ctx, rev) },
		Releases: func(id tenant.ID) (any, error) { return e.syncer.Releases(id) },
		Rollback: e.rollback,
		Doctor:   func(ctx context.Context, h tenant.Host) any { return e.examine(ctx, h) },
		Lattice:  func(ctx context.Context) any { return e.examineLattice(ctx) },
		Status:   status,
		Logger:   e.logger("admin"),
	})
	return err
}

// run runs the edge until ctx ends, and then takes it down in order: it leaves the
// routes, finishes what is in flight, and only then stops what requests need.
func (e *edge) run(ctx context.Context) error {
	var parts []part
	add := func(name string, run func(context.Context) error) { parts = append(parts, part{name, run}) }
	if e.admin != nil {
		add("admin", e.admin.Run)
	}
	add("lattice", e.lattice.Run)
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
	add("dnsverify", e.verifier.Run)
	if e.gitHost != nil {
		add("git", e.gitHost.Run)
	}
	add("sync", e.syncer.Run)
	add("server", e.server.Run)
	add("placement", e.lattice.placement.Run)
	add("messages", e.lattice.messages.Run)
	add("cron", e.lattice.cron.Run)
	add("presence", e.lattice.presence.Run)
	add("members", e.lattice.members.Run)
	add("fleet", e.lattice.fleet.Run)
	add("notices", e.lattice.notices.Run)
	add("answers", e.lattice.asker.Run)
	add("logs", e.lattice.logs.Run)
	if e.lattice.tickets != nil {
		add("tickets", e.lattice.tickets.Run)
	}
	add("health", e.health.Run)
	if e.bfd != nil {
		add("bfd", e.bfd.Run)
	}
	if e.announcer != nil {
		add("bgp", e.announcer.Run)
	}
	err := runParts(ctx, parts)
	e.fetcher.Close()
	return errors.Join(err, e.sites.Close(context.WithoutCancel(ctx)), e.engine.Close(context.WithoutCancel(ctx)))
}

func (e *edge) logger(part string) *slog.Logger { return e.log.With("part", part) }

func (e *edge) setHealth(s health.Status) {
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
	e.lattice.presence.Touch()
	if e.announcer != nil {
		e.announcer.SetHealth(s.Ready, reasons)
	}
}
