package lattice

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/dirlock"
)

// lookEvery is how often new connections of the embedded server are looked for.
const lookEvery = 250 * time.Millisecond

// Lattice is an edge's part in the fabric. Its methods are safe for concurrent use.
type Lattice struct {
	opts Options
	log  *slog.Logger
	tls  *tls.Config // nil without files
	up   chan struct{}

	joined  chan struct{} // a token: see Joined
	diskLow atomic.Bool
	broken  atomic.Bool // see tend
	stuck   atomic.Bool // a server did not stop: see errStuck
	corrupt atomic.Bool // see Unreadable
	resyncs chan resync

	stopTimeout time.Duration // the constant, but in tests

	forgotten atomic.Bool // see Forgotten
	standing  sync.Mutex  // held while the Standing is changed

	mu     sync.Mutex
	server *server.Server // see embedded; guarded by mu
	conn   *nats.Conn     // set before up is closed; guarded by mu
	system *nats.Conn     // likewise; see System
	reason string         // why there is no lattice; guarded by mu
}

// New returns a Lattice. It starts nothing; call Run. Its error joins every fault of the
// options (Options.Check).
func New(o Options) (*Lattice, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.setDefaults()
	l := &Lattice{opts: o, log: o.Logger, up: make(chan struct{}), joined: make(chan struct{}, 1), resyncs: make(chan resync), stopTimeout: stopTimeout, reason: "not started yet"}
	var err error
	if l.tls, err = o.TLS.config(); err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		return l, o.Metrics.Register(collector{l})
	}
	return l, nil
}

// Name is the edge's.
func (l *Lattice) Name() string { return l.opts.Name }

// Region is the edge's, and may be empty.
func (l *Lattice) Region() string { return l.opts.Region }

// Domain is the JetStream domain of the edge's region.
func (l *Lattice) Domain() string { return l.opts.domain() }

// External reports whether the lattice is the operator's NATS, whose JetStream all
// regions share.
func (l *Lattice) External() bool { return len(l.opts.URLs) > 0 }

// Replicas is how many edges of the region should hold each piece of state.
func (l *Lattice) Replicas() int { return l.opts.Replicas }

// ReplicasOf is how many edges should hold a stream: Replicas, and no fewer than it has
// already, as an edge whose configuration names few others must not remove copies.
func (l *Lattice) ReplicasOf(ctx context.Context, js jetstream.JetStream, stream string) (int, error) {
	s, err := js.Stream(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return l.Replicas(), nil
	case err != nil:
		return 0, err
	}
	return max(l.Replicas(), s.CachedInfo().Config.Replicas), nil
}

// Run starts the embedded server and the connection, and closes both when ctx ends. It
// then returns within half a minute, even if the server hangs.
// What does not start is tried again until then; the only error is that another
// process uses the folder. It can be called once.
func (l *Lattice) Run(ctx context.Context) error {
	token := rand.Text()
	if len(l.opts.URLs) > 0 {
		l.hold(ctx, token)
		return nil
	}
	lock, err := dirlock.Take(l.opts.Dir)
	if err != nil {
		return fmt.Errorf("lattice: %w", err)
	}
	if retry(ctx, func() error { return l.start(ctx, token) }, l.failed) == nil {
		var tended sync.WaitGroup
		tended.Go(func() { l.tend(ctx, token) })
		l.hold(ctx, token)
		tended.Wait()
		_ = l.stop(l.embedded()) // logged
	}
	return lock.Release()
}

// hold keeps the connection until ctx ends.
func (l *Lattice) hold(ctx context.Context, token string) {
	var closed sync.WaitGroup
	connect := func(token string) (conn *nats.Conn, err error) {
		closed.Add(1)
		if conn, err = l.connect(token, closed.Done); err != nil {
			closed.Done()
		}
		return conn, err
	}
	var conn, system *nats.Conn
	if retry(ctx, func() (err error) { conn, err = connect(token); return err }, l.failed) != nil {
		return
	}
	defer within(closeTimeout, func() {
		if system != nil {
			system.Close()
		}
		conn.Close()
		closed.Wait()
	})
	if l.Clustered() {
		if retry(ctx, func() (err error) { system, err = connect(systemToken(token)); return err }, l.failed) != nil {
			return
		}
	}
	l.failed(nil)
	l.mu.Lock()
	l.conn, l.system = conn, system
	l.mu.Unlock()
	close(l.up)
	l.watch(ctx)
}

// Clustered reports whether the embedded server is of a cluster.
func (l *Lattice) Clustered() bool { return l.opts.Cluster.Listen != "" }

// System waits for the connection to the system account of the cluster's servers, which
// membership is asked for and changed by. Only Run closes it.
func (l *Lattice) System(ctx context.Context) (*nats.Conn, error) {
	if _, err := l.Conn(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.system == nil {
		return nil, errors.New("this edge is not a member of a cluster of embedded servers")
	}
	return l.system, nil
}

// systemToken is the token of the connection to the system account.
func systemToken(own string) string { return own + ".system" }

// watch notes when a server that was not there has a connection to ours, until ctx
// ends. nats-server has no event for that.
func (l *Lattice) watch(ctx context.Context) {
	if l.embedded() == nil {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for was := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s := l.embedded()
			n := s.NumRemotes() + s.NumLeafNodes()
			if n > was {
				l.join()
			}
			was = n
		}
	}
}

func (l *Lattice) join() {
	select {
	case l.joined <- struct{}{}:
	default:
	}
}

// Joined has a token when other edges may be in reach that were not before: what they
// have missed should be said again. It is for one reader.
func (l *Lattice) Joined() <-chan struct{} { return l.joined }

// failed notes why there is no lattice, nil for none.
func (l *Lattice) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.reason = ""
	} else if reason := err.Error(); l.reason != reason {
		l.log.Error("the lattice does not start: the edge serves without", "err", err)
		l.reason = reason
	}
}

func (l *Lattice) connect(token string, closed func()) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(l.opts.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // nothing is sent late
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(closeTimeout), // a server that does not read holds up nobody for longer
		nats.ClosedHandler(func(*nats.Conn) { closed() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				l.log.Warn("cut off from the lattice", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			l.log.Info("back in the lattice")
			l.join()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			l.log.Warn("lattice", "subject", subject, "err", err)
		}),
	}
	if l.embedded() != nil {
		return nats.Connect("", append(opts, nats.InProcessServer(inProcess{l}), nats.Token(token))...)
	}
	if l.tls != nil {
		opts = append(opts, nats.Secure(l.tls))
	}
	if file := l.opts.Credentials; file != "" {
		u, err := readCredentials(file)
		if err != nil {
			return nil, err
		}
		credentials := nats.UserCredentials(file)
		if !u.jwt {
			if credentials, err = nats.NkeyOptionFromSeed(file); err != nil {
				return nil, err
			}
		}
		opts = append(opts, credentials)
	}
	return nats.Connect(strings.Join(l.opts.URLs, ","), opts...)
}

// inProcess connects to the embedded server of the moment.
type inProcess struct{ l *Lattice }

// InProcessConn implements nats.InProcessConnProvider.
func (p inProcess) InProcessConn() (net.Conn, error) { return p.l.embedded().InProcessConn() }

// embedded is the embedded server, nil before it runs, or without one.
func (l *Lattice) embedded() *server.Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server
}

// Conn waits for the connection and returns it. Only Run closes it. It may be
// without a server at the moment: nats.Conn then fails what is published.
func (l *Lattice) Conn(ctx context.Context) (*nats.Conn, error) {
	select {
	case <-l.up:
	default:
		select {
		case <-l.up:
		case <-ctx.Done():
			return nil, fmt.Errorf("the lattice is not up: %s: %w", l.whyNot(), ctx.Err())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, nil
}

// JetStream waits until the region's JetStream answers: in a cluster, until a majority
// of its edges is there.
func (l *Lattice) JetStream(ctx context.Context) (jetstream.JetStream, error) {
	conn, err := l.Conn(ctx)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	var last error
	ask := func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err
	}
	if err := retry(ctx, ask, func(err error) { last = err }); err != nil {
		return nil, fmt.Errorf("state is not reachable: %w", errors.Join(last, err))
	}
	return js, nil
}

func (l *Lattice) whyNot() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// Addrs are where the embedded server listens, nil where it does not.
func (l *Lattice) Addrs() (clients, cluster, leaf net.Addr) {
	s := l.embedded()
	if s == nil {
		return nil, nil, nil
	}
	if l.opts.Listen != "" {
		clients = s.Addr()
	}
	if a := s.ClusterAddr(); a != nil {
		cluster = a
	}
	if v, err := s.Varz(nil); err == nil && v.LeafNode.Port > 0 {
		leaf = &net.TCPAddr{IP: net.ParseIP(v.LeafNode.Host), Port: v.LeafNode.Port}
	}
	return clients, cluster, leaf
}

// Hub reports whether this edge's region is the one that the others are leaf nodes of,
// or the only one.
func (l *Lattice) Hub() bool { return len(l.opts.Leaf) == 0 }
