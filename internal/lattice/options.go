package lattice

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what New takes.
type Options struct {
	Name   string // the edge's; no other in the lattice has it
	Region string // may be empty
	Dir    string // of the embedded server's state

	URLs        []string // of the operator's NATS; then all up to MaxDisk is unused
	Listen      string   // of the embedded server, for clients; empty: none
	LeafListen  string   // likewise, for the leaf nodes of other regions
	Cluster     Cluster
	Leaf        []string          // URLs of the hub's leaf listeners
	Peers       map[string]string // nkeys (U...) of the edges that may connect without a certificate, by name
	MaxMemory   int64             // bytes for streams in memory; default 64 MiB
	MaxDisk     int64             // bytes for streams on disk; default 10 GiB
	Credentials string            // file with a user's JWT and seed, or a seed alone, for URLs and Leaf
	TLS         TLS
	Replicas    int // of state, in its region: 1, 3 or 5; default 3 in a cluster that has them, else 1

	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Cluster is the mesh of the edges of one region.
type Cluster struct {
	Name      string   // default the region; NATS takes leaf nodes of its own cluster's name for a loop
	Listen    string   // empty: no cluster
	Advertise string   // host:port that others reach Listen at, if it is another
	Routes    []string // URLs of other edges' Listen; our own may be among them
}

// TLS are the files of a certificate that says who this edge is, to whomever it dials
// and whoever dials it. They are read at each handshake, but for CA.
type TLS struct {
	Cert, Key string
	CA        string // roots of the lattice; peers must have a certificate from it
}

// Faults are all that New refuses its options for.
type Faults []Fault

// Fault is one of them.
type Fault struct {
	Key string // as in the configuration, below "lattice."
	Err error
}

func (f Faults) Error() string {
	errs := make([]error, len(f))
	for i, fault := range f {
		errs[i] = fmt.Errorf("lattice: %s: %w", fault.Key, fault.Err)
	}
	return errors.Join(errs...).Error()
}

const beyondLoopback = "listens beyond loopback: that wants tls.cert, tls.key and tls.ca, so that only edges of this lattice connect"

// check completes the options and returns what is wrong with them.
func (o *Options) check() (f Faults) {
	fault := func(key, format string, args ...any) { f = append(f, Fault{key, fmt.Errorf(format, args...)}) }
	if o.Name == "" || strings.ContainsAny(o.Name+o.Region, ". *>\t\r\n") {
		fault("name", "an edge called %q in the region %q: want names without dots, wildcards and blanks", o.Name, o.Region)
	}
	if len(o.URLs) > 0 && (o.Listen != "" || o.LeafListen != "" || o.Cluster.Listen != "" || len(o.Cluster.Routes) > 0 || len(o.Leaf) > 0) {
		fault("url", "uses another NATS: listen, leaf_listen, cluster and leaf are for the embedded server; drop them or url")
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		fault("tls", "want both cert and key, or neither")
	}
	mutual := o.TLS.Cert != "" && o.TLS.CA != ""
	for _, l := range []struct {
		key, addr string
		nkeys     bool
	}{{"listen", o.Listen, true}, {"leaf_listen", o.LeafListen, true}, {"cluster.listen", o.Cluster.Listen, false}} {
		if l.addr == "" {
			continue
		}
		host, _, err := splitAddr(l.addr)
		if err != nil {
			fault(l.key, "%w", err)
			continue
		}
		byNkey := l.nkeys && o.TLS.Cert != "" && len(o.Peers) > 0
		if ip, err := netip.ParseAddr(host); (err != nil || !ip.IsLoopback()) && !mutual && !byNkey {
			fault(l.key, "%q "+beyondLoopback, l.addr)
		}
	}
	if o.Cluster.Advertise != "" {
		if _, _, err := net.SplitHostPort(o.Cluster.Advertise); err != nil {
			fault("cluster.advertise", "%q: want HOST:PORT", o.Cluster.Advertise)
		}
	}
	if o.Cluster.Listen == "" && len(o.Cluster.Routes) > 0 {
		fault("cluster.listen", "want the address where the other edges of the cluster reach this one, such as \"10.0.0.1:6222\"")
	}
	if o.Cluster.Listen != "" && len(o.Cluster.Routes) == 0 {
		fault("cluster.routes", "want the other edges of the cluster, such as [\"nats://ams2:6222\"]")
	}
	o.checkURLs(fault)
	for name, key := range o.Peers {
		if !nkeys.IsValidPublicUserKey(key) {
			fault("peers."+name, "%q is no user's public nkey (U...)", key)
		}
	}
	o.complete(fault)
	return f
}

// checkURLs wants TLS wherever secrets or state leave the machine.
func (o *Options) checkURLs(fault func(key, format string, args ...any)) {
	for key, list := range map[string][]string{"url": o.URLs, "leaf": o.Leaf, "cluster.routes": o.Cluster.Routes} {
		for _, s := range list {
			u, err := url.Parse(s)
			if err != nil || !slices.Contains([]string{"nats", "tls"}, u.Scheme) || u.Hostname() == "" || u.Path != "" || u.User != nil {
				fault(key, "want tls://HOST:PORT or nats://HOST:PORT, without a user")
				continue
			}
			if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "nats" && o.TLS.CA == "" && (err != nil || !ip.IsLoopback()) {
				fault(key, "%s is not on this machine: want tls://, or tls.ca", u.Redacted())
			}
		}
	}
}

func (o *Options) complete(fault func(key, format string, args ...any)) {
	if o.Cluster.Name == "" {
		o.Cluster.Name = o.domain()
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = 64 << 20
	}
	if o.MaxDisk <= 0 {
		o.MaxDisk = 10 << 30
	}
	servers := 1 + len(o.Cluster.Routes) // at most: our own may be among the routes
	switch {
	case o.Replicas == 0 && servers >= 3:
		o.Replicas = 3
	case o.Replicas == 0:
		o.Replicas = 1
	case !slices.Contains([]int{1, 3, 5}, o.Replicas):
		fault("replicas", "%d: want 1, 3 or 5: only odd numbers make a majority that survives", o.Replicas)
	case len(o.URLs) == 0 && o.Replicas > servers:
		fault("replicas", "%d, but the cluster has %d edges (cluster.routes and this one)", o.Replicas, servers)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Domain is the JetStream domain of the edge's region.
func (o *Options) domain() string {
	if o.Region == "" {
		return "terrane"
	}
	return o.Region
}

// open reports whether a listener, on loopback, asks for nothing.
func (o *Options) open(kind int) bool {
	listen := o.Listen
	if kind == server.LEAF {
		listen = o.LeafListen
	}
	return listen != "" && o.TLS.CA == "" && len(o.Peers) == 0
}
