package pool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a pool. The zero value registers nothing.
type metrics struct {
	registry  prometheus.Registerer
	all       []prometheus.Collector
	instances prometheus.Counter
}

// Register makes the pool's metrics known to r, unless that is nil.
func (p *Pool[T]) Register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	p.metrics.registry = r
	p.metrics.all = []prometheus.Collector{p.metrics.instances, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_engine_idle_bytes",
		Help: "Memory that idle instances hold.",
	}, func() float64 { return float64(p.Size()) })}
	var errs []error
	for _, c := range p.metrics.all {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// Unregister undoes Register.
func (p *Pool[T]) Unregister() {
	for _, c := range p.metrics.all {
		p.metrics.registry.Unregister(c)
	}
}

// Created counts an instance that was made anew.
func (p *Pool[T]) Created() { p.metrics.instances.Inc() }
