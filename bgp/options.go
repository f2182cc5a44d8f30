package bgp

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options for New. The zero value of a field that says no other default is "none".
type Options struct {
	ASN        uint32
	RouterID   netip.Addr // IPv4, unique among the edges
	Prefixes   []netip.Prefix
	Neighbors  []Neighbor
	ListenPort uint16 // 0: connects only
	// External says that another speaker of this host announces, told by whoever reads
	// Status. Then there may be no neighbors, and with none no ASN and RouterID.
	External bool

	// AllowHostRoutes and AllowPrivate are the operator's word that prefixes longer
	// than /24 or /48, or private ones (RFC 1918, 6598, 4193), may go to a neighbor with a
	// public AS number. Neighbors within a private one (RFC 6996) get them anyway.
	AllowHostRoutes bool
	AllowPrivate    bool

	// ShutdownWait is how long routers get to leave for another edge after
	// GRACEFUL_SHUTDOWN, WithdrawWait how long the withdrawal gets to reach them
	// all. 0: 2 s each. Without an established session neither is waited for.
	ShutdownWait time.Duration
	WithdrawWait time.Duration

	// Visitors are counted after each withdrawal: if one comes when half of WithdrawWait
	// is over, all sessions are ended with a Cease (Administrative Shutdown) until the
	// prefixes are announced again. A router that damps routes can lose a withdrawal; it
	// does not lose the end of a session. nil: sessions are not ended.
	Visitors Visitors
	// KeepSessions says that visitors also come by routes that this package does not
	// announce, so that they prove nothing.
	KeepSessions bool

	// DrainFile exists while the edge is drained, so that a drain survives a restart.
	// An operator may also make it before the start. "": a drain does not survive.
	DrainFile string

	OnChange func(Status) // called by Run's goroutine after each change; must not block
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Visitors counts those whom the announced prefixes bring.
type Visitors interface {
	// Arrived is how many connections to addresses of the prefixes have come from other
	// hosts so far. It must not block.
	Arrived() uint64
}

// Neighbor is a router this edge speaks to.
type Neighbor struct {
	Address      netip.Addr
	Port         uint16 // 0: 179
	ASN          uint32 // that of the edge: iBGP
	Password     string // TCP MD5 (RFC 2385), at most 80 bytes
	Multihop     uint8  // how many hops away it may be; 0: 1
	TTLSecurity  bool   // refuse packets from farther away than Multihop (RFC 5082)
	LocalAddress netip.Addr
	Passive      bool // wait for it to connect; needs Options.ListenPort

	HoldTime     time.Duration // 0: 3 s; whole seconds
	Keepalive    time.Duration // 0: a third of the hold time
	ConnectRetry time.Duration // 0: 1 s
	// GracefulRestart is for how long the neighbor keeps our routes after the
	// session broke. Best left 0: when this process dies, so does what it serves.
	GracefulRestart time.Duration
	// NoGracefulShutdown leaves out the GRACEFUL_SHUTDOWN step: a router that damps
	// routes counts it as a flap. If no neighbor has it, ShutdownWait is not waited for.
	NoGracefulShutdown bool

	// NextHops are sent in place of the session's local address, at most one
	// per family. The prefixes of a family other than the session's are only
	// announced with a next hop of that family.
	NextHops    []netip.Addr
	Communities []string // "64512:100", "64512:1:2" (large), or "no-export", "no-advertise", "no-peer"
	MED         *uint32
	Prepend     uint8   // how many more times our AS stands in the path, at most 16
	LocalPref   *uint32 // iBGP only, above 0
}

const (
	defaultHold  = 3 * time.Second
	defaultRetry = time.Second
	defaultWait  = 2 * time.Second
	defaultPort  = 179
	maxPassword  = 80 // TCP_MD5SIG_MAXKEYLEN of Linux; longer keys would be cut
	maxPrepend   = 16 // many networks drop paths of more than 50
)

func (o Options) withDefaults() Options {
	o.ShutdownWait = cmp.Or(o.ShutdownWait, defaultWait)
	o.WithdrawWait = cmp.Or(o.WithdrawWait, defaultWait)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	neighbors := make([]Neighbor, len(o.Neighbors))
	for i, n := range o.Neighbors {
		n.Address = n.Address.Unmap()
		n.Port = cmp.Or(n.Port, defaultPort)
		n.Multihop = cmp.Or(n.Multihop, 1)
		n.HoldTime = cmp.Or(n.HoldTime, defaultHold)
		n.Keepalive = cmp.Or(n.Keepalive, max(n.HoldTime/3, time.Second).Truncate(time.Second))
		n.ConnectRetry = cmp.Or(n.ConnectRetry, defaultRetry)
		neighbors[i] = n
	}
	o.Neighbors = neighbors
	return o
}

// anyGraceful reports whether any speaker is asked to leave before the withdrawal.
func (o *Options) anyGraceful() bool {
	return o.silent() || slices.ContainsFunc(o.Neighbors, func(n Neighbor) bool { return !n.NoGracefulShutdown })
}
