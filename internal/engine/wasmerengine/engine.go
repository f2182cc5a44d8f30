//go:build engine_wasmer

package wasmerengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	_ "github.com/wasmerio/wasmer-go/wasmer" // links libwasmer

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/codecache"
	"github.com/terrane/terrane/internal/engine/gate"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
)

// Options are what an Engine needs.
type Options struct {
	Funcs    []hostcalls.Func      // what guests may import, usually hostcalls.Functions()
	CacheDir string                // where compiled code is kept; empty: nowhere
	Idle     int64                 // bytes that idle instances of all modules may hold; 0: 256 MiB, negative: none
	Renew    int                   // instances of a module after which its engine is replaced; 0: 1,000
	Guests   int64                 // bytes that instances with a request may hold; 0: no limit
	Threads  int                   // guests in flight, each of which holds a thread; others wait (gate.Room); 0: 1,000
	Logger   *slog.Logger          // nil discards
	Metrics  prometheus.Registerer // nil registers nothing
}

const (
	defaultIdle = 256 << 20
	// An engine keeps 50 bytes of each instance, of some 7 KB, until its end. Replacing it
	// takes a millisecond or a few, which is less than 5 % of what that many instances take.
	defaultRenew = 1_000
	// Go's runtime gives up at 10,000 threads.
	defaultThreads = 1_000
)

// Engine compiles modules for Wasmer. Only New makes one.
type Engine struct {
	funcs    []hostcalls.Func
	renew    int
	log      *slog.Logger
	restorer *linear.Restorer
	pool     *pool.Pool[*instance]
	gate     *gate.Gate
	cache    *codecache.Cache // nil: code is not kept
	compiles chan struct{}    // holds one of each compilation in progress
	compiled prometheus.Counter
	guests   *gate.Room   // for guests in flight
	memory   *gate.Memory // of instances with a request
}

// Engine is an engine.Engine.
var _ engine.Engine = (*Engine)(nil)

// New makes an Engine, which its caller closes.
func New(o Options) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.Renew == 0 {
		o.Renew = defaultRenew
	}
	if o.Threads == 0 {
		o.Threads = defaultThreads
	}
	for i := range o.Funcs {
		if f := &o.Funcs[i]; len(f.Params) > maxParams || len(f.Results) > 1 {
			return nil, fmt.Errorf("%s.%s: this engine passes at most %d parameters and one result", f.Module, f.Name, maxParams)
		}
	}
	if stack := threadStack(); stack < stackReserve+spareStack {
		return nil, fmt.Errorf("threads have %d KiB of stack and guests need %d: set ulimit -s (LimitSTACK in systemd) to 8192 or more, and not to unlimited, which means 2048",
			stack>>10, (stackReserve+spareStack)>>10)
	}
	slots := max(1, runtime.GOMAXPROCS(0)-1)
	e := &Engine{
		funcs: o.Funcs, renew: o.Renew, log: o.Logger,
		restorer: linear.NewRestorer(), pool: pool.New[*instance](o.Idle), gate: gate.New(slots),
		compiles: make(chan struct{}, slots), // deploys leave requests a processor
		compiled: pool.Compilations(),
		guests:   gate.NewRoom(o.Threads), memory: gate.NewMemory(o.Guests),
	}
	var err error
	if e.cache, err = openCache(o.CacheDir); err == nil {
		err = e.pool.Register(o.Metrics, e.compiled, e.memory.Metric())
	}
	if err != nil {
		return nil, errors.Join(err, e.Close(context.Background()))
	}
	e.log.Info("engine ready", "engine", Name, "restore", e.restorer.Method(), "idle_bytes", o.Idle, "guest_bytes", o.Guests)
	return e, nil
}

// Name is "wasmer".
func (e *Engine) Name() string { return Name }

// Close implements engine.Engine.
func (e *Engine) Close(context.Context) error {
	e.pool.Unregister()
	return e.restorer.Close()
}
