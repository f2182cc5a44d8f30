package lattice

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/metric"
)

// Status is how an edge stands in the lattice.
type Status struct {
	Connected bool   `json:"connected"`          // to the server, be it the embedded one
	Reason    string `json:"reason,omitempty"`   // why not
	Embedded  bool   `json:"embedded"`           // what follows is known of an embedded server only
	Edges     int    `json:"edges,omitempty"`    // of the cluster that this one has a connection to
	Wanted    int    `json:"wanted,omitempty"`   // of the cluster beside this one
	Leafs     int    `json:"leafs,omitempty"`    // connections to leaf nodes, or of this one to its hub
	State     bool   `json:"state"`              // state can be written: a majority of the cluster is there
	Stored    int64  `json:"stored,omitempty"`   // bytes of state on disk
	DiskLow   bool   `json:"disk_low,omitempty"` // it is nearly full
	Domain    string `json:"domain,omitempty"`   // of JetStream
	Replicas  int    `json:"replicas,omitempty"` // wanted of each piece of state
}

// Status returns the state of now. It waits for nothing.
func (l *Lattice) Status() Status {
	l.mu.Lock()
	conn, srv, reason := l.conn, l.server, l.reason
	l.mu.Unlock()
	s := Status{Reason: reason, Embedded: len(l.opts.URLs) == 0, Domain: l.Domain(), Replicas: l.Replicas(), DiskLow: l.DiskLow()}
	if conn != nil {
		s.Connected = conn.IsConnected()
		if err := conn.LastError(); !s.Connected && err != nil {
			s.Reason = err.Error()
		}
	}
	if srv == nil {
		s.State = s.Connected && !s.Embedded
		return s
	}
	s.Leafs, s.Edges = srv.NumLeafNodes(), srv.NumRemotes()
	if js, err := srv.Jsz(nil); err == nil && !js.Disabled {
		s.Stored = int64(js.Store)
		s.State = js.Meta == nil || js.Meta.Leader != ""
		if js.Meta != nil {
			s.Wanted = js.Meta.Size - 1
		}
	}
	return s
}

// collector reads the metrics when they are asked for.
type collector struct{ l *Lattice }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.l.Status()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(prometheus.NewDesc("terrane_lattice_up", "1 while the edge is connected to the lattice's server.", nil, nil), metric.Bool(s.Connected))
	gauge(prometheus.NewDesc("terrane_lattice_state_up", "1 while state can be written: a majority of the cluster is there.", nil, nil), metric.Bool(s.State))
	gauge(prometheus.NewDesc("terrane_lattice_route_connections", "Edges of the cluster that this edge is connected to.", nil, nil), float64(s.Edges))
	gauge(prometheus.NewDesc("terrane_lattice_leaf_connections", "Connections to leaf nodes, or to the hub.", nil, nil), float64(s.Leafs))
	gauge(prometheus.NewDesc("terrane_lattice_stored_bytes", "State on this edge's disk.", nil, nil), float64(s.Stored))
	gauge(prometheus.NewDesc("terrane_lattice_disk_ok", "1 unless the disk under the state is nearly full.", nil, nil), metric.Bool(!s.DiskLow))
}
