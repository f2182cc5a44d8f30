package members

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

const (
	retryForget  = 250 * time.Millisecond
	election     = 20 * time.Second // more than one takes
	codeInFlight = 10202            // NATS: another change of the members is under way
)

// ErrHeard is of a member that is there.
var ErrHeard = errors.New("the edge is heard: stop it first")

// ErrNoMember is of an edge that the cluster does not have.
var ErrNoMember = errors.New("no such member")

// Override is what Forget does against its better judgement.
type Override struct {
	// Heard forgets an edge that is heard, too.
	Heard bool
	// Majority forgets an edge although a majority is not there, for when it is lost for
	// good. What only the lost edges had confirmed is lost then.
	Majority bool
}

// Forget removes an edge from the cluster, and returns when the cluster's leader has done
// so. The others then make the copies that are missing; see Wait. It refuses an edge that is
// heard, with ErrHeard.
func (m *Members) Forget(ctx context.Context, edge string, over Override) error {
	if !m.o.Lattice.Clustered() {
		return errors.New("this edge is not a member of a cluster of embedded servers: there is nothing to forget")
	}
	if edge == m.o.Lattice.Name() {
		return fmt.Errorf("%s cannot forget itself: ask another edge of the cluster", edge)
	}
	list, err := m.elected(ctx)
	if errors.Is(err, errNoLeader) && over.Majority {
		if err = m.rescue(ctx, edge); err == nil {
			list, err = m.elected(ctx)
		}
	}
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(x Member) bool { return x.ID == memberID(edge) })
	if at < 0 {
		names := make([]string, 0, len(list))
		for _, x := range list {
			names = append(names, x.Edge)
		}
		return fmt.Errorf("%s: %w: the cluster has %s", edge, ErrNoMember, strings.Join(names, ", "))
	}
	if (list[at].Live || m.o.Heard(edge)) && !over.Heard {
		return fmt.Errorf("%s: %w", edge, ErrHeard)
	}
	if err := m.remove(ctx, &list[at]); err != nil {
		return err
	}
	if err := m.recordRemoval(ctx, edge); err != nil {
		return notRecorded(edge, err)
	}
	return nil
}

// elected are the members, when an edge leads them: if the lost one did, another is being
// elected.
func (m *Members) elected(ctx context.Context) (list []Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, election)
	defer cancel()
	for {
		if list, err = m.members(ctx); !errors.Is(err, errNoLeader) {
			return list, err
		}
		if lattice.Pause(ctx, retryForget) != nil {
			return nil, err
		}
	}
}

// remove asks the cluster's leader, until it has done it.
func (m *Members) remove(ctx context.Context, x *Member) error {
	for {
		var answer struct {
			Success bool `json:"success"`
			Error   *struct {
				Code        int    `json:"err_code"`
				Description string `json:"description"`
			} `json:"error"`
		}
		err := m.ask(ctx, "$JS.API.SERVER.REMOVE", map[string]string{"peer_id": x.ID}, &answer)
		switch {
		case err == nil && answer.Success:
			return nil
		case err == nil && (answer.Error == nil || answer.Error.Code != codeInFlight):
			return fmt.Errorf("the cluster's leader refuses: %v", answer.Error)
		}
		if waited := lattice.Pause(ctx, retryForget); waited != nil {
			return errors.Join(err, waited)
		}
		list, err := m.members(ctx)
		if err == nil && !slices.ContainsFunc(list, func(l Member) bool { return l.ID == x.ID }) {
			return nil // the answer was lost
		}
	}
}

// Wait waits until this edge is a member and all copies that the members can hold are there.
// It returns what there is, also with an error.
func (m *Members) Wait(ctx context.Context) (Status, error) {
	own := memberID(m.o.Lattice.Name())
	for {
		s := m.Look(ctx)
		// An edge that has just been added is asked before the leader knows it.
		if s.Settled() && slices.ContainsFunc(s.Members, func(x Member) bool { return x.ID == own }) {
			return s, nil
		}
		if err := lattice.Pause(ctx, retryForget); err != nil {
			return s, err
		}
	}
}

// Settled reports whether all copies that the live members can hold are there.
func (s *Status) Settled() bool {
	live := s.live()
	return s.Problem == "" && !s.At.IsZero() && !slices.ContainsFunc(s.Copies, func(c Copies) bool {
		return c.Problem != "" || c.Current() < min(c.Wanted, live) || c.Current() < len(c.At)
	})
}

func (s *Status) live() (n int) {
	for i := range s.Members {
		if s.Members[i].Live {
			n++
		}
	}
	return n
}

// forgetAbsent forgets, if this edge leads, a member that was absent for long enough and
// is replaced.
func (m *Members) forgetAbsent(ctx context.Context, s *Status) {
	if !s.Members[0].Leader || s.Members[0].Edge != m.o.Lattice.Name() {
		clear(m.absent)
		return
	}
	if m.o.ForgetAfter < 0 {
		return
	}
	var lost *Member
	for i := range s.Members {
		x := &s.Members[i]
		since, ok := m.absent[x.ID]
		switch {
		case x.Live || x.Edge != "" && m.o.Heard(x.Edge):
			delete(m.absent, x.ID)
		case !ok:
			m.absent[x.ID] = s.At
		case lost == nil && s.At.Sub(since) >= m.o.ForgetAfter:
			lost = x
		}
	}
	if lost == nil {
		return
	}
	why := s.keeps(m.o.Lattice.Replicas())
	if why == "" {
		within, cancel := context.WithTimeout(ctx, 2*lookTimeout)
		defer cancel()
		if err := m.remove(within, lost); err != nil {
			why = err.Error()
		} else {
			if err := m.recordRemoval(ctx, lost.Edge); err != nil {
				m.log.Error("cannot record the removal of an edge", "err", notRecorded(lost.label(), err))
			}
			m.log.Warn("an edge that was absent is forgotten: others take over its copies", "edge", lost.label(), "absent_for", m.o.ForgetAfter)
			delete(m.absent, lost.ID)
		}
	}
	if why != "" && why != m.said {
		m.log.Warn("an edge that is absent is not forgotten", "edge", lost.label(), "reason", why)
	}
	m.said = why
}

// label is the member's name, or what is known instead.
func (x *Member) label() string {
	if x.Edge == "" {
		return "(name unknown) " + x.ID
	}
	return x.Edge
}

// keeps says why an absent member is to be kept, nothing if it may go.
func (s *Status) keeps(replicas int) string {
	for i := range s.Copies {
		c := &s.Copies[i]
		replicas = max(replicas, c.Wanted)
		for _, at := range c.At {
			if at.Live && !at.Current {
				return fmt.Sprintf("the copy of %s at %s is not complete yet", c.What, at.Edge)
			}
		}
		if c.Problem != "" {
			return c.What + ": " + c.Problem
		}
	}
	if live := s.live(); live < replicas {
		return fmt.Sprintf("%d edges are there and %d copies are wanted: no edge replaces it", live, replicas)
	}
	return ""
}

// memberID is NATS's identifier of a server: eight digits in base 62, each from a byte of
// the name's SHA-256.
func memberID(name string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(name))
	id := make([]byte, 8)
	for i := range id {
		id[i] = digits[int(sum[i])%len(digits)]
	}
	return string(id)
}
