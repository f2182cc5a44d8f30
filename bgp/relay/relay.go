// Package relay tells another BGP speaker of this host what an edge wants announced, for hosts
// that have a BGP daemon already. It writes a line for each change: the words "announce", "leave",
// "withdraw" and "shutdown", or ExaBGP's commands.
//
// Goroutines: none.
package relay

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/terrane/terrane/bgp"
)

// lookEvery is how often the edge is asked.
const lookEvery = 200 * time.Millisecond

// New returns a Relay; Run runs it.
func New(o Options) *Relay { return &Relay{o: o} }

// Options configure a Relay.
type Options struct {
	W      io.Writer     // what the other speaker reads
	ExaBGP bool          // in ExaBGP's commands, one for each prefix
	Repeat time.Duration // how often what holds is repeated; 0: never
	// Prefixes are withdrawn in ExaBGP's commands while the edge has not answered yet.
	Prefixes []netip.Prefix
	// Neighbors are those of ExaBGP whose sessions end when visitors still come after a
	// withdrawal.
	Neighbors []string
}

// Relay tells another speaker what an edge wants announced. It is for one goroutine.
type Relay struct {
	o Options // Prefixes are the last ones known: they outlive the edge

	said  string
	at    time.Time // of said
	ended bool      // the sessions, for late visitors
}

// Run tells what look finds of the edge until ctx ends, and then withdraws. An error of look is
// an edge that does not answer.
func (r *Relay) Run(ctx context.Context, look func(context.Context) (bgp.Status, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, err := look(ctx)
		if ctx.Err() != nil {
			break
		}
		if err := r.update(s, err == nil, time.Now()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if r.said == "withdraw" {
		return nil
	}
	return r.tell("withdraw")
}

// update tells what is new in s, or to be repeated. An edge that has not answered wants
// nothing announced.
func (r *Relay) update(s bgp.Status, answered bool, now time.Time) error {
	word := "withdraw"
	if answered {
		r.o.Prefixes = s.Prefixes
		switch s.State {
		case bgp.Announcing:
			word = "announce"
		case bgp.Draining:
			word = "leave"
		}
	}
	// ExaBGP knows what it has announced, and sends each withdrawal.
	repeats := r.o.Repeat > 0 && (!r.o.ExaBGP || word != "withdraw")
	if word != r.said || repeats && now.Sub(r.at) >= r.o.Repeat {
		if err := r.tell(word); err != nil {
			return err
		}
		r.said, r.at = word, now
	}
	if answered && s.SessionsEnded && !r.ended {
		if err := r.tell("shutdown"); err != nil {
			return err
		}
	}
	if answered {
		r.ended = s.SessionsEnded
	}
	return nil
}

func (r *Relay) tell(word string) error {
	if !r.o.ExaBGP {
		_, err := fmt.Fprintln(r.o.W, word)
		return err
	}
	verb, community := word, ""
	switch word {
	case "leave":
		verb, community = "announce", " community [65535:0]" // RFC 8326
	case "shutdown":
		for _, n := range r.o.Neighbors { // Administrative Shutdown; it connects again
			if _, err := fmt.Fprintf(r.o.W, "neighbor %s teardown 2\n", n); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range r.o.Prefixes {
		if _, err := fmt.Fprintf(r.o.W, "%s route %v next-hop self%s\n", verb, p, community); err != nil {
			return err
		}
	}
	return nil
}
