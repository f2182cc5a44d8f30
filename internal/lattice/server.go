package lattice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// MaxPayload is how many bytes a message may have: the largest value of a tenant, and headers.
const MaxPayload = 1<<20 + 64<<10

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second // of the server; it takes tenths of a second
	closeTimeout = 5 * time.Second  // of the connection to it
)

// serverOptions are those of the embedded server.
func (l *Lattice) serverOptions(token string) (*server.Options, error) {
	o, tlsConfig := &l.opts, l.tls
	s := &server.Options{
		ServerName: o.Name,
		DontListen: true,
		Port:       -1,
		NoSigs:     true,
		NoLog:      true, // until SetLogger
		MaxPayload: MaxPayload,
		MaxConn:    4096,
		MaxPending: 16 << 20,

		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,

		JetStream:              true,
		StoreDir:               o.Dir,
		SyncAlways:             true,
		JetStreamMaxMemory:     o.MaxMemory,
		JetStreamMaxStore:      o.MaxDisk,
		JetStreamDomain:        o.domain(),
		DisableJetStreamBanner: true,

		AlwaysEnableNonce: true,
		CustomClientAuthentication: &guard{
			own: token, name: o.Name, peers: swapped(o.Peers), open: o.open,
			system: func() *server.Account { return l.embedded().SystemAccount() },
		},
		ConnectErrorReports:   60,
		ReconnectErrorReports: 60,
	}
	if o.Listen != "" {
		s.DontListen, s.TLSConfig = false, tlsConfig
		s.Host, s.Port = mustAddr(o.Listen)
		s.TLSVerify, s.TLS = o.TLS.CA != "", tlsConfig != nil
	}
	if o.LeafListen != "" {
		s.LeafNode.Host, s.LeafNode.Port = mustAddr(o.LeafListen)
		s.LeafNode.TLSConfig = tlsConfig
		s.LeafNode.NoAdvertise = true // leaf nodes dial what they are configured to, not our addresses behind a NAT
	}
	if o.Cluster.Listen != "" {
		if s.DontListen { // nats-server's routes wait for this listener for ever; the guard lets nobody in
			s.DontListen, s.Host = false, "127.0.0.1"
		}
		s.Cluster.Name = o.Cluster.Name
		s.Cluster.Host, s.Cluster.Port = mustAddr(o.Cluster.Listen)
		s.Cluster.PoolSize = 1 // of messages; JetStream has a connection of its own. We have one account, which could use no more
		s.Cluster.Advertise = o.Cluster.Advertise
		s.Cluster.TLSConfig = tlsConfig
		s.Cluster.PingInterval, s.Cluster.MaxPingsOut = s.PingInterval, s.MaxPingsOut
		s.Routes = parseURLs(o.Cluster.Routes)
	}
	s.LeafNode.ReconnectInterval = 500 * time.Millisecond
	if len(o.Leaf) > 0 {
		remote := &server.RemoteLeafOpts{URLs: parseURLs(o.Leaf), TLSConfig: tlsConfig}
		remote.TLS = tlsConfig != nil || remote.URLs[0].Scheme == "tls"
		if err := l.leafCredentials(remote); err != nil {
			return nil, err
		}
		s.LeafNode.Remotes = []*server.RemoteLeafOpts{remote}
	}
	return s, nil
}

func (l *Lattice) leafCredentials(r *server.RemoteLeafOpts) error {
	if l.opts.Credentials == "" {
		return nil
	}
	user, err := readCredentials(l.opts.Credentials)
	switch {
	case err != nil:
		return err
	case user.jwt:
		r.Credentials = l.opts.Credentials
		return nil
	}
	r.Nkey = user.seed
	return nil
}

// user is what a credentials file holds.
type user struct {
	jwt  bool // it has a JWT too
	seed string
}

func readCredentials(file string) (user, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return user{}, err
	}
	pair, err := nkeys.ParseDecoratedNKey(data)
	if err != nil {
		return user{}, fmt.Errorf("%s: want the file of a user's credentials, or its seed (SU...): %w", file, err)
	}
	seed, err := pair.Seed()
	if err == nil && !strings.HasPrefix(string(seed), "SU") {
		err = fmt.Errorf("%s: the seed is not a user's (SU...)", file)
	}
	return user{strings.Contains(string(data), "BEGIN NATS USER JWT"), string(seed)}, err
}

// start starts the embedded server, and takes down again what cannot. It returns when ctx
// ends, even if the server does not stop reading its files.
func (l *Lattice) start(ctx context.Context, token string) error {
	opts, err := l.serverOptions(token)
	if err != nil {
		return err
	}
	if err := errors.Join(l.enter(), l.restoreMeta()); err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	log := &serverLog{log: l.log, broken: &l.broken}
	s.SetLoggerV2(log, false, false, false)
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.Start()
	}()
	for begun := time.Now(); ; {
		select {
		case <-started:
		case <-ctx.Done():
			within(closeTimeout, func() { <-started }) // what starts still makes files after a Shutdown
			return errors.Join(ctx.Err(), l.stop(s))
		case <-time.After(startTimeout):
			l.failed(fmt.Errorf("the server has been reading its files for %s", time.Since(begun).Round(time.Second)))
			continue
		}
		break
	}
	if err := log.err(); err == nil && s.ReadyForConnections(startTimeout) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.server = s
		l.corrupt.Store(false)
		return nil
	}
	err = log.err()
	if err != nil && strings.Contains(err.Error(), "corrupt") {
		l.corrupt.Store(true)
	}
	if err == nil {
		err = fmt.Errorf("the server was not ready within %s", startTimeout)
	}
	return errors.Join(err, l.stop(s))
}

// errStuck is a server that does not stop. Another cannot use its folder before the
// process has ended.
var errStuck = errors.New("the lattice's server does not stop: restart the edge")

// stop stops a server, and waits for a while at most: one that reads damaged files may
// never stop.
func (l *Lattice) stop(s *server.Server) error {
	if within(l.stopTimeout, func() { s.Shutdown(); s.WaitForShutdown() }) {
		return nil
	}
	l.stuck.Store(true)
	l.log.Error("lattice server did not stop in time", "timeout", l.stopTimeout)
	return errStuck
}

// within reports whether f returned in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// retry calls f until it succeeds or ctx ends, and tells of each new failure.
func retry(ctx context.Context, f func() error, failed func(error)) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 30*time.Second) {
		err := f()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		failed(err)
		if err := Pause(ctx, wait); err != nil {
			return err
		}
	}
}

func swapped(m map[string]string) map[string]string {
	to := make(map[string]string, len(m))
	for k, v := range m {
		to[v] = k
	}
	return to
}

func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(p, 10, 16)
		port = int(n)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%q: want an address and a port, such as \"127.0.0.1:4222\"", addr)
	}
	return host, port, nil
}

// mustAddr splits what check has seen. NATS takes any port for -1.
func mustAddr(addr string) (host string, port int) {
	host, port, _ = splitAddr(addr)
	if host == "" {
		host = "0.0.0.0"
	}
	if port == 0 {
		port = -1
	}
	return host, port
}

// parseURLs parses what check has seen.
func parseURLs(list []string) []*url.URL {
	urls := make([]*url.URL, 0, len(list))
	for _, s := range list {
		if u, err := url.Parse(s); err == nil {
			urls = append(urls, u)
		}
	}
	return slices.Clip(urls)
}
