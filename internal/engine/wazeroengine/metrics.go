package wazeroengine

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of an engine. The zero value registers and counts nothing but instances.
type metrics struct {
	registry  prometheus.Registerer
	all       []prometheus.Collector
	instances prometheus.Counter
}

func (s *metrics) register(r prometheus.Registerer, e *Engine) error {
	s.instances = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "terrane_engine_instances_total",
		Help: "Instances made anew; all other requests got a recycled one.",
	})
	if r == nil {
		return nil
	}
	s.registry = r
	s.all = []prometheus.Collector{s.instances, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_engine_idle_bytes",
		Help: "Memory that idle instances hold.",
	}, func() float64 { return float64(e.pool.Size()) })}
	var errs []error
	for _, c := range s.all {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func (s *metrics) unregister() {
	for _, c := range s.all {
		s.registry.Unregister(c)
	}
}

func (s *metrics) created() { s.instances.Inc() }
