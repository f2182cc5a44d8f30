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
	damaged  prometheus.Counter

	reread      *prometheus.CounterVec
	rereadAge   *prometheus.GaugeVec
	differences *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	var errs []error
	register := func(c prometheus.Collector) {
		if r != nil {
			errs = append(errs, r.Register(c))
		}
	}
	counter := func(label string, o prometheus.CounterOpts) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(o, []string{label})
		register(c)
		return c
	}
	gauge := func(o prometheus.GaugeOpts) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(o, []string{"store"})
		register(g)
		return g
	}
	m := &metrics{
		deploys:  counter("store", prometheus.CounterOpts{Name: "terrane_sync_deploys_total", Help: "Releases that went live."}),
		refusals: counter("store", prometheus.CounterOpts{Name: "terrane_sync_refusals_total", Help: "Releases refused for a fault of the tenant's."}),
		failures: counter("store", prometheus.CounterOpts{
			Name: "terrane_sync_failures_total", Help: "Looks at the origin and releases that failed for another reason.",
		}),
		looks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "terrane_sync_look_duration_seconds", Help: "Time of one look at the origin.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"store"}),
		success: gauge(prometheus.GaugeOpts{Name: "terrane_sync_last_success_timestamp_seconds", Help: "When the origin was last seen."}),
		tenants: gauge(prometheus.GaugeOpts{Name: "terrane_sync_live_tenants", Help: "Tenants with a live release, previews included."}),
		hooks:   counter("status", prometheus.CounterOpts{Name: "terrane_sync_webhooks_total", Help: "Webhooks by the status they were answered with."}),

		reread: counter("store", prometheus.CounterOpts{Name: "terrane_sync_reread_bytes_total", Help: "Content of folders that was read again."}),
		rereadAge: gauge(prometheus.GaugeOpts{
			Name: "terrane_sync_reread_age_seconds", Help: "Time since the folder that was read again last had been read before.",
		}),
		differences: counter("store", prometheus.CounterOpts{
			Name: "terrane_sync_reread_differences_total", Help: "Folders with other content of the same sizes and times.",
		}),
	}
	m.damaged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "terrane_sync_damaged_records_total", Help: "Release records of the mirror that could not be read at the start.",
	})
	register(m.looks)
	register(m.damaged)
	return m, errors.Join(errs...)
}
