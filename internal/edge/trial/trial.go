// Package trial tries one module without a server: whether an edge would run it, and what it
// answers to one request.
//
// Goroutines: those of the engine, which end with each call.
package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/fetch"
)

// MaxModule bounds a module that is tried, in bytes.
const MaxModule = 256 << 20

// Inspection is what is known of a module.
type Inspection struct {
	File   string `json:"file"`
	Engine string `json:"engine"` // of the edge that is asked
	*engine.Info
	Runs   bool     `json:"runs"`
	Faults []string `json:"faults,omitempty"` // why it does not
}

// Inspect reports whether the edge of cfg would run the module of a file. Its error is a failure
// of the host; what is wrong with the module is in the Inspection.
func Inspect(ctx context.Context, file string, wasm []byte, cfg *config.Config) (*Inspection, error) {
	in := &Inspection{File: file, Engine: edge.EngineName(cfg.Engine)}
	var err error
	if in.Info, err = engine.Inspect(wasm); err != nil {
		in.refuse(err)
		return in, nil
	}
	if err := checkSize(wasm, cfg); err != nil {
		in.refuse(err)
	}
	eng, mod, err := compile(ctx, wasm, cfg)
	switch {
	case errors.Is(err, engine.ErrRefused):
		in.refuse(err)
	case err != nil:
		return nil, err
	default:
		err = errors.Join(mod.Close(ctx), eng.Close(ctx))
		if err != nil {
			return nil, err
		}
	}
	in.Runs = len(in.Faults) == 0
	return in, nil
}

func (in *Inspection) refuse(err error) {
	in.Faults = append(in.Faults, strings.Split(err.Error(), "\n")...)
}

// checkSize refuses a module that is larger than modules may be.
func checkSize(wasm []byte, cfg *config.Config) error {
	if most := int64(cfg.Limits.ModuleSize); int64(len(wasm)) > most {
		return fmt.Errorf("the module has %d bytes, the limit is %d", len(wasm), most)
	}
	return nil
}

// compile compiles a module under the limits of cfg. Its caller closes both, the module first.
func compile(ctx context.Context, wasm []byte, cfg *config.Config) (engine.Engine, engine.Module, error) {
	eng, err := edge.NewEngine(cfg.Engine, edge.EngineOptions{})
	if err != nil {
		return nil, nil, errors.Join(cfg.Faults("engine", err), cfg.Err())
	}
	l := edge.Limits(&cfg.Limits)
	mod, err := eng.Compile(ctx, wasm, engine.Limits{Memory: l.Memory, CPU: l.CPU})
	if err != nil {
		return nil, nil, errors.Join(err, eng.Close(ctx))
	}
	return eng, mod, nil
}

// Surroundings are what a module finds around it. It may reach private addresses.
type Surroundings struct {
	Env   map[string]string
	Files fs.FS // of a WASI program; nil: none
	Log   func(level slog.Level, text string)
}

// Request is what a module is asked.
type Request struct {
	Module string // the name of its file
	Method string
	Path   string // with ?query
	Host   string
	Header http.Header // without Host
	Body   []byte
}

// Response is what a module answered.
type Response struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Run sends one request to a module, under the limits of cfg. Its error is in words for the
// author of the module: what it trapped on, and where.
func Run(ctx context.Context, wasm []byte, cfg *config.Config, s Surroundings, req *Request) (resp *Response, err error) {
	if err := checkSize(wasm, cfg); err != nil {
		return nil, err
	}
	t, err := s.tenant(cfg)
	if err != nil {
		return nil, err
	}
	eng, mod, err := compile(ctx, wasm, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		err = errors.Join(err, mod.Close(ctx), eng.Close(ctx))
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(cfg.Limits.Wall))
	defer cancel()
	x := hostcalls.NewExchange(t, &hostcalls.Request{
		ID: "run", Method: req.Method, Path: req.Path, Header: req.Header, Host: req.Host, Body: req.Body,
		Client: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Scheme: "https", Module: req.Module,
	})
	defer x.Close()
	if err := mod.Run(ctx, x); err != nil {
		return nil, explain(x, err)
	}
	r := x.Response()
	if err := x.Refused(); err != nil {
		return nil, fmt.Errorf("the answer would be 500: %w", err)
	}
	return &Response{Code: r.Code, Header: r.Header.Clone(), Body: bytes.Clone(r.Body)}, nil // x reuses them
}

func (s *Surroundings) tenant(cfg *config.Config) (*hostcalls.Tenant, error) {
	fetcher, err := fetch.New(fetch.Options{AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	resolver, err := edge.NewResolver(nil)
	if err != nil {
		return nil, err
	}
	return &hostcalls.Tenant{
		ID:       "/run",
		Env:      s.Env,
		Limits:   edge.Limits(&cfg.Limits),
		KV:       memorykv.New(hostcalls.Quota{}),
		Fetcher:  fetcher,
		Resolver: resolver,
		Logger:   logger(s.Log),
		Files:    s.Files,
		Edge:     "run",
	}, nil
}

// logger is a hostcalls.Logger of one request.
type logger func(level slog.Level, text string)

// Log implements hostcalls.Logger.
func (l logger) Log(_ *hostcalls.Request, level slog.Level, text string) { l(level, text) }

// explain says why a module did not answer: its trap, and where that happened.
func explain(x *hostcalls.Exchange, err error) error {
	trap, ok := errors.AsType[*engine.Trap](err)
	if !ok {
		return err
	}
	lines := []string{trap.Reason}
	if p := x.Panic(); p != "" {
		lines = append(lines, "the module's own words: "+p)
	}
	for _, frame := range trap.Backtrace {
		lines = append(lines, "  at "+frame)
	}
	return errors.New(strings.Join(lines, "\n"))
}
