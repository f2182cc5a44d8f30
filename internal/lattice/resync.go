package lattice

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

// resync asks tend to have this server's copy of a stream made again.
type resync struct {
	stream string
	group  string // of its copies, if the server does not know
	done   chan<- error
}

func (r *resync) answer(err error) {
	if r.done != nil {
		r.done <- err
	}
}

// errNoReplica is a stream that this server has no copy of, or has the only one.
var errNoReplica = errors.New("this edge has no copy of it that others could replace")

// Resync removes this server's copy of a replicated stream, and restarts the server, which
// then fetches the copy from the other edges. The caller has made sure that they have
// everything: while the copy is made, it counts for no majority. group is the name of the
// copies' raft group. It returns when the server runs again.
func (l *Lattice) Resync(ctx context.Context, stream, group string) error {
	if l.External() {
		return errNoReplica
	}
	done := make(chan error, 1)
	select {
	case l.resyncs <- resync{stream, group, done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Follower makes sure that this server does not lead a stream: the next leader is
// another.
func (l *Lattice) Follower(stream string) error {
	s := l.embedded()
	if s == nil || !s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
		return nil
	}
	return s.JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// Lacks reports whether this server should have a copy of a stream and has none that takes
// part: it could not read it.
func (l *Lattice) Lacks(stream string) bool {
	s := l.embedded()
	if s == nil || !s.JetStreamIsStreamAssigned(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
		return false
	}
	info, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true, RaftGroups: true})
	if err != nil || info.Disabled {
		return false
	}
	for _, account := range info.AccountDetails {
		if slices.ContainsFunc(account.Streams, func(d server.StreamDetail) bool { return d.Name == stream && d.RaftGroup != "" }) {
			return false
		}
	}
	return true
}

// copyOf are the folders of this server's copy of a stream.
func (l *Lattice) copyOf(s *server.Server, stream, group string) ([]string, error) {
	groups := filepath.Join(s.StoreDir(), server.DEFAULT_SYSTEM_ACCOUNT, "_js_")
	info, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true, Config: true, RaftGroups: true})
	if err != nil {
		return nil, err
	}
	for _, account := range info.AccountDetails {
		for i := range account.Streams {
			d := &account.Streams[i]
			if d.Name != stream {
				continue
			}
			if d.RaftGroup == "" { // the server could not open it
				continue
			}
			if d.Config == nil || d.Config.Replicas < 2 {
				return nil, errNoReplica
			}
			dirs := []string{filepath.Join(s.StoreDir(), account.Name, "streams", stream), filepath.Join(groups, d.RaftGroup)}
			for _, c := range d.ConsumerRaftGroups {
				if c.RaftGroup != "" {
					dirs = append(dirs, filepath.Join(groups, c.RaftGroup))
				}
			}
			return dirs, nil
		}
	}
	if group != "" && filepath.IsLocal(group) && s.JetStreamIsStreamAssigned(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
		return []string{filepath.Join(s.StoreDir(), server.DEFAULT_GLOBAL_ACCOUNT, "streams", stream), filepath.Join(groups, group)}, nil
	}
	return nil, fmt.Errorf("stream %s: %w", stream, errNoReplica)
}

const ledgerDir = "integrity"

// Ledger is the file that this edge records in what a bucket must hold; see package
// state/integrity. It is another one after the edge became part of a cluster: that begins
// with nothing.
func (l *Lattice) Ledger(bucket string) string {
	mode := "alone"
	switch {
	case l.opts.Dir == "":
		return ""
	case l.External():
		mode = "external"
	case l.opts.Cluster.Listen != "":
		mode = "cluster"
	}
	return filepath.Join(l.opts.Dir, ledgerDir, bucket+"."+mode)
}

// LeadsJetStream reports whether the embedded server is the one of its cluster that
// decides where streams and consumers are.
func (l *Lattice) LeadsJetStream() bool {
	s := l.embedded()
	return s != nil && s.JetStreamIsLeader()
}

// errUnreadable is a server that does not start because of what is in its files.
var errUnreadable = errors.New("the server cannot read its files: stop this edge, set them aside with 'terrane lattice reset', and start it again: " +
	"it fetches everything from the other edges (docs/state.md, \"Damaged state\")")

// Unreadable returns an error while the embedded server does not start because its files
// are damaged, or does not stop. It waits for nothing.
func (l *Lattice) Unreadable() error {
	switch {
	case l.stuck.Load():
		return errStuck
	case l.corrupt.Load():
		return errUnreadable
	}
	return nil
}
