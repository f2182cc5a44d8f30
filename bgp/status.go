package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// State is what the edge does with its prefixes.
type State string

// The states. Announcing means that the prefixes are in our table: Neighbors
// tell who holds them.
const (
	Stopped    State = "stopped"  // Run has not started, or has ended
	Starting   State = "starting" // no speaker yet; Reason says what is in the way
	Announcing State = "announcing"
	Unhealthy  State = "unhealthy" // withdrawn, because SetHealth said so
	Draining   State = "draining"  // announced with GRACEFUL_SHUTDOWN, on the way to Drained
	Drained    State = "drained"   // withdrawn, until Undrain
	// Withdrawing follows Draining: withdrawn, and routers get WithdrawWait to follow.
	Withdrawing State = "withdrawing"
)

// Status is a copy of the whole state.
type Status struct {
	State     State            `json:"state"`
	Reason    string           `json:"reason,omitempty"` // why not Announcing, or what failed
	Since     time.Time        `json:"since"`
	Prefixes  []netip.Prefix   `json:"prefixes"`
	Neighbors []NeighborStatus `json:"neighbors"`
	// LateVisitors came when half of WithdrawWait was over after the last withdrawal, or
	// after the end of the sessions; see Options.Visitors.
	LateVisitors uint64 `json:"late_visitors,omitempty"`
	// SessionsEnded says that there are no sessions because of late visitors. With
	// Options.External the other speaker is to end its sessions then.
	SessionsEnded bool `json:"sessions_ended,omitempty"`
}

// NeighborStatus is one session.
type NeighborStatus struct {
	Address     netip.Addr     `json:"address"`
	ASN         uint32         `json:"asn"`
	Established bool           `json:"established"`
	Since       time.Time      `json:"since"` // of Established's last change
	Announced   []netip.Prefix `json:"announced"`
	// Reason is why it is not established, or why it lacks prefixes.
	Reason  string `json:"reason,omitempty"`
	Lost    uint64 `json:"lost"`    // sessions lost since Run started
	Ignored uint64 `json:"ignored"` // updates received, none of which has any effect
}

func (s Status) clone() Status {
	s.Neighbors = slices.Clone(s.Neighbors)
	return s
}

// differs reports whether s is worth telling after old: whatever changed but Ignored.
func (s Status) differs(old Status) bool {
	return s.State != old.State || s.Reason != old.Reason || s.SessionsEnded != old.SessionsEnded ||
		!slices.EqualFunc(s.Neighbors, old.Neighbors, func(a, b NeighborStatus) bool {
			return a.Established == b.Established && a.Reason == b.Reason && a.Lost == b.Lost && slices.Equal(a.Announced, b.Announced)
		})
}

// settled is how long an established session gets to take our prefixes before
// their lack is reported.
const settled = 2 * time.Second

func (s *speaker) neighbors(announcing bool, now time.Time) []NeighborStatus {
	list := idleNeighbors(s.opts)
	for i, g := range s.guards {
		session, sent := g.sess.get()
		st := &list[i]
		st.Established, st.Since, st.Reason = session.established, session.since, session.reason
		st.Announced, st.Lost, st.Ignored = sent, session.lost, session.ignored
		if announcing && session.established && now.Sub(session.since) > settled {
			st.Reason = s.opts.lacking(g.n, sent)
		}
	}
	return list
}

// lacking says which families the neighbor should hold and does not.
func (o *Options) lacking(n *Neighbor, sent []netip.Prefix) string {
	for _, fam := range o.families(n) {
		if !slices.ContainsFunc(sent, func(p netip.Prefix) bool { return familyOf(p.Addr()) == fam }) {
			return fmt.Sprintf("the router does not take %v routes over this session: enable %[1]v unicast there", fam)
		}
	}
	return ""
}

func idleNeighbors(o *Options) []NeighborStatus {
	list := make([]NeighborStatus, len(o.Neighbors))
	for i, n := range o.Neighbors {
		list[i] = NeighborStatus{Address: n.Address, ASN: n.ASN}
	}
	return list
}
