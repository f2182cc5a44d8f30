package dnsverify

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/tenant"
)

type metrics struct {
	lookups  *prometheus.CounterVec
	queries  *prometheus.HistogramVec
	refusals prometheus.Counter
	gauges   []prometheus.Collector
}

func newMetrics(v *Verifier) *metrics {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "terrane_dnsverify_" + name, Help: help}, f)
	}
	return &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_dnsverify_lookups_total",
			Help: "Hosts looked up in DNS, by the standing that was found.",
		}, []string{"standing"}),
		queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "terrane_dnsverify_query_duration_seconds",
			Help:    "DNS queries with their retries.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 5},
		}, []string{"outcome"}),
		refusals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_dnsverify_refusals_total",
			Help: "Lookups of unknown hosts not made because there were too many.",
		}),
		gauges: []prometheus.Collector{
			gauge("verified_hosts", "Verified hosts in memory.", func() float64 { return float64(v.known.len()) }),
			gauge("refused_hosts", "Denied and unknown hosts in memory.", func() float64 { return float64(v.others.len()) }),
			gauge("refresh_lag_seconds", "How late the refresh of verified hosts is.", func() float64 {
				first, _ := v.queue.pop(time.Time{})
				if first.at.IsZero() {
					return 0
				}
				return max(0, time.Since(first.at).Seconds())
			}),
			gauge("stale_hosts", "Verified hosts whose DNS fails at present.", func() float64 {
				n := 0
				v.known.each(func(_ tenant.Host, e *entry) {
					if e.stale {
						n++
					}
				})
				return float64(n)
			}),
		},
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	errs := []error{r.Register(m.lookups), r.Register(m.queries), r.Register(m.refusals)}
	for _, g := range m.gauges {
		errs = append(errs, r.Register(g))
	}
	return errors.Join(errs...)
}

func (m *metrics) query(took time.Duration, err error) {
	outcome := "answer"
	var failure *rcodeError
	switch {
	case errors.As(err, &failure):
		outcome = "failure"
	case err != nil:
		outcome = "silence"
	}
	m.queries.WithLabelValues(outcome).Observe(took.Seconds())
}
