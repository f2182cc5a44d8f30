package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice"
)

// An edge of the home region whose disk is nearly full says so in the bucket, for as
// long as it is.
const (
	lowToken = "low" // before the edge's name
	lowTTL   = 10 * time.Second
	lowAgain = lowTTL / 3

	diskInterval = 250 * time.Millisecond
)

// errDiskFull is a write that would fill the disks.
var errDiskFull = errors.New("state: the disks that keep it are nearly full, and nothing more is written until the operator has made room")

// disks has the edges whose disks are nearly full.
type disks struct {
	mu       sync.Mutex
	low      map[string]time.Time // until when, by edge
	replicas int
	keeper   bool // this edge has one of them

	said time.Time // when this edge last said that its disk is low, zero if it is not; of reportDisk
}

func (s *Store) lowSubject(edge string) string {
	return "$KV." + s.opts.Bucket + "." + lowToken + "." + edge
}

// checkDisks fails when fewer disks have space than make a majority.
func (s *Store) checkDisks() error {
	d, now := &s.disks, time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.low, func(_ string, until time.Time) bool { return until.Before(now) })
	low := slices.Sorted(maps.Keys(d.low))
	if self := s.lattice.Name(); s.single.Load() && s.lattice.DiskLow() && !slices.Contains(low, self) {
		low = append(low, self)
	}
	if len(low) <= (d.replicas-1)/2 {
		return nil
	}
	return fmt.Errorf("%w (edges %s)", errDiskFull, strings.Join(low, ", "))
}

// applyDisk notes what an edge reports of its disk.
func (s *Store) applyDisk(m jetstream.Msg, at time.Time) {
	edge, ok := strings.CutPrefix(m.Subject(), s.lowSubject(""))
	if !ok {
		return
	}
	s.disks.take(edge, m.Headers().Get(hdrOp) == "", time.Duration(s.now()-at.UnixNano()))
}

// take takes up what an edge said a while ago. Whatever the clocks say, that holds for no
// longer than lowTTL from now.
func (d *disks) take(edge string, low bool, ago time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if delete(d.low, edge); low {
		d.low[edge] = time.Now().Add(lowTTL - max(0, ago))
	}
}

// noteReplicas notes which edges have a replica.
func (s *Store) noteReplicas(info *jetstream.StreamInfo) {
	c, self := info.Cluster, s.lattice.Name()
	keeper := !s.mirrors() && (c == nil || c.Leader == self || slices.ContainsFunc(c.Replicas, func(p *jetstream.PeerInfo) bool { return p.Name == self }))
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	s.disks.replicas, s.disks.keeper = info.Config.Replicas, keeper
}

// reportDisk tells all edges while this one's disk is nearly full, until ctx ends.
func (s *Store) reportDisk(ctx context.Context) {
	d := &s.disks
	for lattice.Pause(ctx, diskInterval) == nil {
		d.mu.Lock()
		low := d.keeper && s.lattice.DiskLow()
		d.mu.Unlock()
		said, header := time.Now(), nats.Header{hdrTTL: {strconv.Itoa(int(lowTTL / time.Second))}}
		switch {
		case low && said.Sub(d.said) < lowAgain, !low && d.said.IsZero():
			continue
		case !low:
			said = time.Time{}
			header.Set(hdrOp, opDelete)
		}
		short, cancel := context.WithTimeout(ctx, lowTTL/10)
		if _, err := s.publish(short, &nats.Msg{Subject: s.lowSubject(s.lattice.Name()), Header: header}); err == nil {
			d.said = said
		}
		cancel()
	}
}
