package fetch

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_fetch_requests_total",
			Help: "Outbound requests of guests, by result: ok, refused by the policy, failed.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "terrane_fetch_duration_seconds",
			Help:    "Time until an outbound request's response header arrived, or it failed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration)
	}
	return m
}

func (m metrics) observe(err error, d time.Duration) {
	var refused *Refusal
	result := "ok"
	switch {
	case errors.As(err, &refused):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	m.requests.WithLabelValues(result).Inc()
	m.duration.Observe(d.Seconds())
}
