package lattice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ledLook  = 5 * time.Second // between looks whether this server leads the stream
	ledScan  = time.Hour       // between its scans while it does
	ledAgain = 2 * time.Minute // after a scan that found damage
	ledTime  = 10 * time.Minute
	ledMost  = 3 // repairs of one stream before a start of the edge: its disk is to be replaced then
)

// TendLed reads this server's copy of a replicated stream when the server begins to lead it,
// and every hour, and has a copy that has unreadable messages made again from the others. The
// server would deliver nothing of what it cannot read, and not replace it. repaired is called
// then. It returns when ctx ends.
func (l *Lattice) TendLed(ctx context.Context, stream string, repaired func(ctx context.Context)) {
	if !l.Clustered() {
		<-ctx.Done()
		return
	}
	var due time.Time
	for repairs := 0; Pause(ctx, ledLook) == nil; {
		s := l.embedded()
		if s == nil || !s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			due = time.Time{}
			continue
		}
		if time.Now().Before(due) {
			continue
		}
		due = time.Now().Add(ledScan)
		found, err := l.repairLed(ctx, stream, repairs < ledMost)
		if err != nil && ctx.Err() == nil {
			l.log.Warn("this edge's copy of a stream is not repaired", "stream", stream, "err", err)
		}
		if found {
			due = time.Now().Add(ledAgain)
		}
		if found && err == nil {
			repairs++
			repaired(ctx)
		}
	}
}

func (l *Lattice) repairLed(ctx context.Context, stream string, may bool) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, ledTime)
	defer cancel()
	conn, err := l.Conn(ctx)
	if err != nil {
		return false, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return false, err
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return false, err
	}
	for range 2 {
		if n, err := unreadable(ctx, s); err != nil || n == 0 {
			return false, err
		}
	}
	info := s.CachedInfo()
	switch {
	case info.Cluster == nil || info.Config.Replicas < 2:
		return true, errNoReplica
	case !may:
		return true, errors.New("it was made again several times, and is damaged again: replace the disk")
	}
	for _, p := range info.Cluster.Replicas {
		if p.Offline || !p.Current {
			return true, fmt.Errorf("%s is not current: start it", p.Name)
		}
	}
	if err := l.Follower(stream); err != nil {
		return true, err
	}
	l.log.Warn("this edge's copy of a stream has messages that cannot be read, and is made again", "stream", stream)
	return true, l.Resync(ctx, stream, info.Cluster.RaftGroup)
}

// unreadable is how many messages of a stream cannot be read, 0 if it changes meanwhile.
func unreadable(ctx context.Context, s jetstream.Stream) (uint64, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return 0, err
	}
	before, read := info.State, uint64(0)
	for next := before.FirstSeq; next <= before.LastSeq; read++ {
		m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return 0, err
		}
		next = m.Sequence + 1
	}
	if info, err = s.Info(ctx); err != nil {
		return 0, err
	}
	if info.State.Msgs != before.Msgs || info.State.LastSeq != before.LastSeq || read >= before.Msgs {
		return 0, nil
	}
	return before.Msgs - read, nil
}
