package conns

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// reason is why a connection was closed.
type reason int

const (
	full        reason = iota // there are Options.Max
	perNetwork                // its network has Options.PerNetwork
	handshakes                // half of Options.Max have not sent a request yet
	descriptors               // the process has none left
	idle                      // no request for Options.Idle
	slow                      // the visitor does not read, or too slowly
	noisy                     // much was sent that asks for nothing
	reasons
)

// String is the label of the metric.
func (r reason) String() string {
	return [reasons]string{"full", "network", "handshakes", "descriptors", "idle", "slow", "noise"}[r]
}

type metrics struct {
	closed  [reasons]prometheus.Counter
	proxies map[string]prometheus.Counter // PROXY headers refused
}

func newMetrics(reg prometheus.Registerer, l *Limiter) (*metrics, error) {
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_conns_closed_total", Help: "Connections closed by the edge to bound them, by reason.",
	}, []string{"reason"})
	proxies := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "terrane_conns_proxy_refused_total", Help: "Connections of balancers without a valid PROXY header, by what was there instead.",
	}, []string{"header"})
	m := &metrics{proxies: make(map[string]prometheus.Counter)}
	for r := range reasons {
		m.closed[r] = closed.WithLabelValues(r.String())
	}
	for _, kind := range []string{headerMissing, headerMalformed, headerNothing} {
		m.proxies[kind] = proxies.WithLabelValues(kind)
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(closed), reg.Register(proxies), reg.Register(states{l}))
}

// states counts connections when it is asked.
type states struct{ *Limiter }

//nolint:gochecknoglobals // constant descriptions
var (
	openDesc = prometheus.NewDesc("terrane_conns_open_connections", "Connections of visitors: without a request so far, idle, or with requests in flight.", []string{"state"}, nil)
	maxDesc  = prometheus.NewDesc("terrane_conns_limit_connections", "Connections that there may be.", nil, nil)
	netDesc  = prometheus.NewDesc("terrane_conns_largest_network_connections", "Connections of the client network that has most.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s states) Describe(to chan<- *prometheus.Desc) { to <- openDesc; to <- maxDesc; to <- netDesc }

// Collect implements prometheus.Collector.
func (s states) Collect(to chan<- prometheus.Metric) {
	var fresh, idle, busy, largest int
	s.mu.Lock()
	for _, n := range s.byNet {
		largest = max(largest, len(n.conns))
		for _, c := range n.conns {
			switch {
			case c.busy.Load() > 0:
				busy++
			case c.greeted.Load():
				idle++
			default:
				fresh++
			}
		}
	}
	s.mu.Unlock()
	gauge := func(d *prometheus.Desc, n int, label ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), label...)
	}
	gauge(openDesc, fresh, "new")
	gauge(openDesc, idle, "idle")
	gauge(openDesc, busy, "busy")
	gauge(maxDesc, s.opts.Max)
	gauge(netDesc, largest)
}
