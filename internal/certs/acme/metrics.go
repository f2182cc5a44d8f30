package acme

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count orders and what came of them.
type metrics struct {
	issued, failed *prometheus.CounterVec // by CA
	renewals       prometheus.Counter
	seconds        prometheus.Histogram
}

func newMetrics(a *Manager, r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_certs_acme_issued_total", Help: "Certificates that a CA issued to this edge.",
		}, []string{"ca"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_certs_acme_failed_total", Help: "Orders of this edge that a CA did not fulfil.",
		}, []string{"ca"}),
		renewals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_certs_acme_renewals_total", Help: "Certificates that this edge renewed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "terrane_certs_acme_order_seconds", Help: "Time that a CA took to issue.",
			Buckets: []float64{.25, .5, 1, 2, 4, 8, 15, 30, 60},
		}),
	}
	if r == nil {
		return m, nil
	}
	memory := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_certs_acme_memory_count", Help: "Certificates in memory.",
	}, func() float64 { return float64(a.certs.len()) })
	var errs []error
	for _, c := range []prometheus.Collector{m.issued, m.failed, m.renewals, m.seconds, memory} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
