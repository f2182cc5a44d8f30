package health

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/metric"
)

type metrics struct {
	ready  prometheus.Gauge
	losses prometheus.Counter
	check  *prometheus.GaugeVec
}

func newMetrics() metrics {
	return metrics{
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "terrane_health_ready",
			Help: "1 while the edge is fit to attract traffic.",
		}),
		losses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_health_losses_total",
			Help: "Times the edge stopped being ready.",
		}),
		check: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "terrane_health_check_ok",
			Help: "1 while the check is up.",
		}, []string{"check"}),
	}
}

func (m metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.ready, m.losses, m.check} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m metrics) observe(old, s Status) {
	m.ready.Set(metric.Bool(s.Ready))
	if old.Ready && !s.Ready {
		m.losses.Inc()
	}
	for _, c := range s.Checks {
		m.check.WithLabelValues(c.Name).Set(metric.Bool(c.OK))
	}
}
