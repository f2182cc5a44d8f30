package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/field"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server/internal/blobs"
	"github.com/terrane/terrane/server/internal/modules"
	"github.com/terrane/terrane/server/internal/rules"
	"github.com/terrane/terrane/tenant"
)

// Blobs is where the content of files is, under its hash.
type Blobs = blobs.Source

// Verifier says what DNS has to say of a host. It is asked for each request: it
// must answer a host that it knows from memory. source is the visitor's address, so
// that one visitor's unknown names hold up no other's; invalid if there is no visitor.
type Verifier interface {
	VerifyFrom(ctx context.Context, h tenant.Host, source netip.Addr) tenant.Verdict
}

// SitesOptions are what NewSites takes.
type SitesOptions struct {
	Engine   engine.Engine
	Blobs    Blobs
	Verifier Verifier
	// PreviewDomain has the names of previews below it (tenant.PreviewHost); empty: there
	// are none.
	PreviewDomain tenant.Host
	// Wanted is told the tenant of each verified host at each request for it. It must not
	// block. Nil: nobody wants to know.
	Wanted func(tenant.ID)
	// Guest makes what all requests of a release share. limits are the manifest's
	// under the operator's ceilings.
	Guest func(s *tenant.Snapshot, limits tenant.Limits) *hostcalls.Tenant
	// Limits are the operator's ceilings.
	Limits tenant.Limits
	// CacheBytes bound the memory for small files; default 64 MiB.
	CacheBytes int64
	// ModuleBytes bound the memory for compiled modules; 0: no bound. Beyond it those not
	// asked for longest are unloaded; a request loads them again, which is quick only if the
	// engine keeps compiled code on disk.
	ModuleBytes int64
	// RequireConsent refuses a host that no manifest's domains list.
	RequireConsent bool
	Logger         *slog.Logger          // nil discards
	Metrics        prometheus.Registerer // nil registers nothing
}

// Sites holds the live release of each tenant. It is safe for concurrent use, and
// reading it takes no lock.
type Sites struct {
	opts    SitesOptions
	log     *slog.Logger
	modules *modules.Table
	files   *blobs.Cache

	byTenant sync.Map   // tenant.ID -> *site
	mu       sync.Mutex // orders Publish's swap and Remove
}

// NewSites checks the options.
func NewSites(o SitesOptions) (*Sites, error) {
	if o.Engine == nil || o.Blobs == nil || o.Verifier == nil || o.Guest == nil {
		return nil, errors.New("server: sites want an engine, blobs, a verifier and a guest")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	s := &Sites{
		opts: o, log: o.Logger,
		modules: modules.New(o.Engine, o.Blobs, o.ModuleBytes),
		files:   blobs.NewCache(o.Blobs, o.CacheBytes),
	}
	if err := s.register(o.Metrics); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Sites) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	return errors.Join(
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_modules_count", Help: "Compiled modules of live releases.",
		}, func() float64 { return float64(s.modules.Count()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_modules_loaded_bytes", Help: "Memory that loaded modules take, about.",
		}, func() float64 { return float64(s.modules.LoadedBytes()) })),
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "terrane_server_modules_loads_total", Help: "Modules loaded again for a request, because they had been unloaded.",
		}, func() float64 { return float64(s.modules.Loads()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "terrane_server_sites_count", Help: "Tenants with a live release.",
		}, func() float64 { return float64(s.count()) })),
	)
}

func (s *Sites) count() (n int) {
	s.byTenant.Range(func(_, _ any) bool { n++; return true })
	return n
}

// Publish makes the snapshot live: requests that begin after it returns see this
// release, and those before it keep theirs. On an error nothing has changed; an
// error that wraps engine.ErrRefused is for the tenant and names the file.
// Modules that the live release has already are not compiled again.
func (s *Sites) Publish(ctx context.Context, snap *tenant.Snapshot) error {
	limits := s.opts.Limits.Lower(snap.Manifest.Limits)
	redirects, headers, err := s.rules(snap)
	if err := errors.Join(checkRoutes(snap), err); err != nil {
		return err
	}
	compiled, err := s.compile(ctx, snap, limits)
	if err != nil {
		return err
	}
	r := &release{
		id:             snap.ID,
		revision:       snap.Revision,
		manifest:       &snap.Manifest,
		files:          snap.Files,
		paths:          tenant.NewSite(snap),
		modules:        compiled,
		redirects:      redirects,
		headers:        headers,
		limits:         limits,
		guest:          s.opts.Guest(snap, limits),
		revisionHeader: []string{string(snap.Revision)},
		end:            func(ctx context.Context) { s.closeModules(ctx, compiled) },
	}
	r.holders.Store(1)
	s.swap(ctx, r)
	return nil
}

// Remove ends the tenant's site; requests in flight end as they began.
func (s *Sites) Remove(ctx context.Context, id tenant.ID) error {
	s.mu.Lock()
	v, found := s.byTenant.LoadAndDelete(id)
	s.mu.Unlock()
	if found {
		v.(*site).live.Swap(nil).done(ctx)
	}
	return nil
}

// Close removes all tenants, and so closes all modules once their requests have
// ended. Publish must not be called after it.
func (s *Sites) Close(ctx context.Context) error {
	var errs []error
	s.byTenant.Range(func(id, _ any) bool {
		errs = append(errs, s.Remove(ctx, id.(tenant.ID)))
		return true
	})
	return errors.Join(errs...)
}

func (s *Sites) swap(ctx context.Context, r *release) {
	s.mu.Lock()
	v, _ := s.byTenant.LoadOrStore(r.id, new(site))
	at := v.(*site)
	before := at.live.Load()
	r.rate = newRate(r.limits.RequestsPerSecond, before)
	at.live.Store(r)
	s.mu.Unlock()
	if before != nil {
		before.done(ctx)
	}
}

// checkRoutes refuses routes that lead to modules the folder does not have.
func checkRoutes(snap *tenant.Snapshot) error {
	names := snap.Modules()
	var errs []error
	for _, r := range snap.Manifest.Routes {
		if !slices.Contains(names, r.Module) {
			errs = append(errs, engine.Refuse(fmt.Errorf("%s: route %q: the folder has no module %q",
				tenant.ManifestName, r.Path, r.Module)))
		}
	}
	return errors.Join(errs...)
}

// rules reads _redirects and _headers.
func (s *Sites) rules(snap *tenant.Snapshot) (*rules.Redirects, *rules.Headers, error) {
	var redirects *rules.Redirects
	var headers *rules.Headers
	text, err := s.ruleFile(snap, rules.RedirectsFile)
	if err != nil {
		return nil, nil, err
	}
	var redirectsErr, headersErr error
	if text != "" {
		redirects, redirectsErr = rules.ParseRedirects(text)
	}
	if text, err = s.ruleFile(snap, rules.HeadersFile); err != nil {
		return nil, nil, err
	}
	if text != "" {
		headers, headersErr = rules.ParseHeaders(text, edgeSets)
	}
	if err := errors.Join(redirectsErr, headersErr); err != nil {
		return nil, nil, engine.Refuse(err)
	}
	return redirects, headers, nil
}

// edgeSets reports whether a file's header of that canonical name is for the edge to set.
func edgeSets(name string) bool {
	switch name {
	case "Content-Encoding", "Content-Range", "Etag", "Date":
		return true
	}
	return field.HostOwned(name) || ofEdges(name)
}

// ruleFile is the text of a file of rules, empty if the folder has none.
func (s *Sites) ruleFile(snap *tenant.Snapshot, name string) (string, error) {
	f, ok := snap.Files[name]
	if !ok {
		return "", nil
	}
	if f.Size > rules.MaxFile {
		return "", engine.Refuse(fmt.Errorf("%s: %d bytes: it may have %d", name, f.Size, rules.MaxFile))
	}
	text, err := blobs.Read(s.opts.Blobs, f)
	return string(text), err
}

// compile acquires every module of the snapshot, or none.
func (s *Sites) compile(ctx context.Context, snap *tenant.Snapshot, limits tenant.Limits) (map[string]*modules.Module, error) {
	names := snap.Modules()
	slices.Sort(names)
	all, errs := make([]*modules.Module, len(names)), make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			var err error
			if all[i], err = s.compileFile(ctx, snap.Files[name], limits); err != nil {
				errs[i] = fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	_ = g.Wait() // errs has them all
	compiled := make(map[string]*modules.Module, len(names))
	for i, name := range names {
		if all[i] != nil {
			compiled[name] = all[i]
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.closeModules(ctx, compiled)
		return nil, err
	}
	return compiled, nil
}

func (s *Sites) compileFile(ctx context.Context, f tenant.File, limits tenant.Limits) (*modules.Module, error) {
	if limits.ModuleSize > 0 && f.Size > limits.ModuleSize {
		return nil, engine.Refuse(fmt.Errorf("%d bytes: a module may have %d here", f.Size, limits.ModuleSize))
	}
	key := modules.Key{Hash: f.Hash, Limits: engine.Limits{Memory: limits.Memory, CPU: limits.CPU}}
	return s.modules.Acquire(ctx, key, f.Size)
}

func (s *Sites) closeModules(ctx context.Context, ms map[string]*modules.Module) {
	for name, m := range ms {
		if err := s.modules.Release(ctx, m); err != nil {
			s.log.Error("close module", "module", name, "err", err)
		}
	}
}
