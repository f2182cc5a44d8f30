package bgp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/metric"
)

// collector turns a Status into metrics when they are asked for.
type collector struct {
	status func() Status

	state, late, ended, up, announced, lost, ignored *prometheus.Desc
}

func newCollector(status func() Status) *collector {
	neighbor := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("terrane_bgp_neighbor_"+name, help, []string{"neighbor"}, nil)
	}
	return &collector{
		status:    status,
		state:     prometheus.NewDesc("terrane_bgp_state_info", "1 for the state the announcer is in.", []string{"state"}, nil),
		late:      prometheus.NewDesc("terrane_bgp_late_connections", "Connections that came when routers should have followed the last withdrawal.", nil, nil),
		ended:     prometheus.NewDesc("terrane_bgp_sessions_ended_info", "1 while there are no sessions because of late visitors.", nil, nil),
		up:        neighbor("up", "1 while the session is established."),
		announced: neighbor("announced_prefixes", "Prefixes that the neighbor holds of this edge."),
		lost:      neighbor("lost_sessions_total", "Established sessions that ended."),
		ignored:   neighbor("ignored_updates_total", "Updates received; this edge imports nothing."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.late, c.ended, c.up, c.announced, c.lost, c.ignored} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	for _, state := range []State{Stopped, Starting, Announcing, Unhealthy, Draining, Withdrawing, Drained} {
		ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, metric.Bool(s.State == state), string(state))
	}
	ch <- prometheus.MustNewConstMetric(c.late, prometheus.GaugeValue, float64(s.LateVisitors))
	ch <- prometheus.MustNewConstMetric(c.ended, prometheus.GaugeValue, metric.Bool(s.SessionsEnded))
	for _, n := range s.Neighbors {
		addr := n.Address.String()
		ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, metric.Bool(n.Established), addr)
		ch <- prometheus.MustNewConstMetric(c.announced, prometheus.GaugeValue, float64(len(n.Announced)), addr)
		ch <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(n.Lost), addr)
		ch <- prometheus.MustNewConstMetric(c.ignored, prometheus.CounterValue, float64(n.Ignored), addr)
	}
}
