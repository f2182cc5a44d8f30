package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/internal/fault"
)

// Pair is a certificate chain and its key, each in a PEM file.
type Pair struct{ Cert, Key string }

// FilesOptions are what NewFiles takes.
type FilesOptions struct {
	Pairs  []Pair
	Every  time.Duration // between two looks at the files; default 10 s
	Logger *slog.Logger  // nil discards
}

// Files serves certificates from disk. A name that none covers gets the first one,
// so that the visitor learns more than a TLS alert tells. It is safe for concurrent use.
type Files struct {
	opts FilesOptions
	log  *slog.Logger
	live atomic.Pointer[loaded]
}

// loaded is one state of the files. It is immutable.
type loaded struct {
	stamp  string
	first  *tls.Certificate
	byName map[string][]*tls.Certificate // "*.example.com" for wildcards
}

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [tls]. It reads the files.
func (o FilesOptions) Check() error {
	_, err := o.load("")
	return err
}

// NewFiles returns a Files with all pairs loaded. It starts nothing; call Run. Its error
// joins every fault of the options (FilesOptions.Check).
func NewFiles(o FilesOptions) (*Files, error) {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Files{opts: o, log: o.Logger}
	return f, f.load(f.stamp())
}

// TLSConfig makes a configuration for one listener or more.
func (f *Files) TLSConfig() *tls.Config { return NewTLSConfig(nil, f.getCertificate) }

// Run reloads the files when one of them changes, until ctx ends. While they cannot
// be loaded, those before stay.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(f.opts.Every)
	defer tick.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		stamp := f.stamp()
		if stamp == f.live.Load().stamp || stamp == failed {
			continue
		}
		if err := f.load(stamp); err != nil {
			failed = stamp
			f.log.Error("reload certificates", "err", err)
			continue
		}
		failed = ""
		f.log.Info("certificates reloaded", "pairs", len(f.opts.Pairs))
	}
}

// stamp changes when a file does, be it by a symlink.
func (f *Files) stamp() string {
	var b strings.Builder
	for _, p := range f.opts.Pairs {
		for _, name := range []string{p.Cert, p.Key} {
			info, err := os.Stat(name)
			if err != nil {
				fmt.Fprintf(&b, "%v;", err)
				continue
			}
			fmt.Fprintf(&b, "%d %d;", info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

func (o *FilesOptions) load(stamp string) (*loaded, error) {
	l := &loaded{stamp: stamp, byName: make(map[string][]*tls.Certificate)}
	var faults fault.List
	if len(o.Pairs) == 0 {
		faults.Add("files", "want at least one [[tls.files]] with cert and key")
	}
	for i, p := range o.Pairs {
		key := fmt.Sprintf("files[%d]", i)
		if p.Cert == "" || p.Key == "" {
			faults.Add(key, "want both cert and key")
			continue
		}
		cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			faults.Add(key, "certificate %s with key %s: %w", p.Cert, p.Key, err)
			continue
		}
		if l.first == nil {
			l.first = &cert
		}
		for _, name := range cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			l.byName[name] = append(l.byName[name], &cert)
		}
	}
	return l, faults.Err()
}

func (f *Files) load(stamp string) error {
	l, err := f.opts.load(stamp)
	if err != nil {
		return err
	}
	f.live.Store(l)
	return nil
}

func (f *Files) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	l := f.live.Load()
	name := ServerName(hello)
	_, parent, _ := strings.Cut(name, ".")
	for _, candidates := range [][]*tls.Certificate{l.byName[name], l.byName["*."+parent]} {
		for _, c := range candidates {
			if hello.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return l.first, nil
}
