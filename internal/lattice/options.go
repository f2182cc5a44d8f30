package lattice

import (
	"cmp"
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

	"github.com/terrane/terrane/internal/fault"
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

const beyondLoopback = "listens beyond loopback: that wants tls.cert, tls.key and tls.ca, so that only edges of this lattice connect"

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [lattice], but for "name", "region" and "dir". It reads the files that o names.
func (o Options) Check() error {
	o.setDefaults()
	var f fault.List
	if !isName(o.Name) {
		f.Add("name", "%q: want letters, digits, \"-\" and \"_\", at most %d, such as \"ams1\"", o.Name, maxName)
	}
	if o.Region != "" && !isName(o.Region) {
		f.Add("region", "%q: want letters, digits, \"-\" and \"_\", at most %d", o.Region, maxName)
	}
	if len(o.URLs) > 0 && (o.Listen != "" || o.LeafListen != "" || o.Cluster.Listen != "" || len(o.Cluster.Routes) > 0 || len(o.Leaf) > 0) {
		f.Add("url", "uses another NATS: listen, leaf_listen, cluster and leaf are for the embedded server; drop them or url")
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
			f.AddErr(l.key, err)
			continue
		}
		byNkey := l.nkeys && o.TLS.Cert != "" && len(o.Peers) > 0
		if ip, err := netip.ParseAddr(host); (err != nil || !ip.IsLoopback()) && !mutual && !byNkey {
			f.Add(l.key, "%q "+beyondLoopback, l.addr)
		}
	}
	if o.Cluster.Advertise != "" {
		if _, _, err := net.SplitHostPort(o.Cluster.Advertise); err != nil {
			f.Add("cluster.advertise", "%q: want HOST:PORT", o.Cluster.Advertise)
		}
	}
	if o.Cluster.Listen == "" && len(o.Cluster.Routes) > 0 {
		f.Add("cluster.listen", "want the address where the other edges of the cluster reach this one, such as \"10.0.0.1:6222\"")
	}
	if o.Cluster.Listen != "" && len(o.Cluster.Routes) == 0 {
		f.Add("cluster.routes", "want the other edges of the cluster, such as [\"nats://ams2:6222\"]")
	}
	o.checkURLs(&f)
	o.checkReplicas(&f)
	for name, key := range o.Peers {
		if !nkeys.IsValidPublicUserKey(key) {
			f.Add("peers."+name, "%q is no user's public nkey (U...)", key)
		}
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		f.Add("tls", "want both cert and key, or neither")
	} else if _, err := o.TLS.config(); err != nil {
		f.AddErr("tls", err)
	}
	if o.Credentials != "" {
		_, err := readCredentials(o.Credentials)
		f.AddErr("credentials", err)
	}
	return errors.Join(f.Err(), CheckDir(o))
}

const maxName = 63

// isName reports whether s can be a part of a NATS subject and of a host's name.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// checkURLs wants TLS wherever secrets or state leave the machine.
func (o *Options) checkURLs(f *fault.List) {
	for _, list := range []struct {
		key  string
		urls []string
	}{{"url", o.URLs}, {"leaf", o.Leaf}, {"cluster.routes", o.Cluster.Routes}} {
		for i, s := range list.urls {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			u, err := url.Parse(s)
			if err != nil || !slices.Contains([]string{"nats", "tls"}, u.Scheme) || u.Hostname() == "" || u.Path != "" || u.User != nil {
				f.Add(key, "want tls://HOST:PORT or nats://HOST:PORT, without a user")
				continue
			}
			if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "nats" && o.TLS.CA == "" && (err != nil || !ip.IsLoopback()) {
				f.Add(key, "%s is not on this machine: want tls://, or tls.ca", u.Redacted())
			}
		}
	}
}

// servers is how many servers the cluster has at most: our own may be among the routes.
func (o *Options) servers() int { return 1 + len(o.Cluster.Routes) }

func (o *Options) checkReplicas(f *fault.List) {
	switch {
	case !slices.Contains([]int{1, 3, 5}, o.Replicas):
		f.Add("replicas", "%d: want 1, 3 or 5: only odd numbers make a majority that survives", o.Replicas)
	case len(o.URLs) == 0 && o.Replicas > o.servers():
		f.Add("replicas", "%d, but the cluster has %d edges (cluster.routes and this one)", o.Replicas, o.servers())
	}
}

func (o *Options) setDefaults() {
	o.Cluster.Name = cmp.Or(o.Cluster.Name, o.domain())
	if o.MaxMemory <= 0 {
		o.MaxMemory = 64 << 20
	}
	if o.MaxDisk <= 0 {
		o.MaxDisk = 10 << 30
	}
	if o.Replicas == 0 {
		o.Replicas = 1
		if o.servers() >= 3 {
			o.Replicas = 3
		}
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
