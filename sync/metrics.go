package sync

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by the store's prefix or an HTTP status, which are few.
type metrics struct {
	deploys  *prometheus.CounterVec
	refusals *prometheus.CounterVec
	failures *prometheus.CounterVec
	looks    *prometheus.HistogramVec
	success  *prometheus.GaugeVec
	tenants  *prometheus.GaugeVec
	hooks    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	store := []string{"store"}
	m := &metrics{
		deploys: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_sync_deploys_total", Help: "Releases that went live.",
		}, store),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_sync_refusals_total", Help: "Releases refused for a fault of the tenant's.",
		}, store),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_sync_failures_total", Help: "Looks at the origin and releases that failed for another reason.",
		}, store),
		looks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "terrane_sync_look_duration_seconds", Help: "Time of one look at the origin.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, store),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "terrane_sync_last_success_timestamp_seconds", Help: "When the origin was last seen.",
		}, store),
		tenants: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "terrane_sync_live_tenants", Help: "Tenants with a live release.",
		}, store),
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_sync_webhooks_total", Help: "Webhooks by the status they were answered with.",
		}, []string{"status"}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.deploys, m.refusals, m.failures, m.looks, m.success, m.tenants, m.hooks} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
